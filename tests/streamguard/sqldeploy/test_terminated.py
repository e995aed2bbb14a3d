"""Queries that somebody has terminated: named, and started again with what reads from them; a server that was terminated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from streamguard.config import load_settings
from streamguard.config.resources import sql_file
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.run import missing, plan
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server
from streamguard.stack.health.base import Context
from streamguard.stack.health.engine import rule_missing
from tests.support.ksqldb import KsqlServerProcess, running_server

CORE, ACCOUNTS = sql_file("queries.sql"), sql_file("account-rules.sql")
VELOCITY = {"ACCOUNT_VELOCITY", "ACCOUNT_VELOCITY_CHANGES", "HIGH_VELOCITY"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    """One server for all: each test leaves the files running, but for the last."""
    with running_server(tmp_path_factory.mktemp("terminated")) as process:
        yield process


def statuses(ksql: Server, files: list[Path]) -> dict[str, str]:
    return {outcome.item.name: outcome.status for outcome in deploy(ksql, files)}


def findings(server: KsqlServerProcess) -> list[str]:
    ksql = Server(server.url)
    [entity] = ksql.execute("SHOW QUERIES;")
    context = Context(load_settings(ksqldb_url=server.url), engine=ksql, queries=entity["queries"])
    return [finding.sentence for finding in rule_missing(context)]


def test_a_query_that_was_terminated_is_started_again_with_its_readers(server: KsqlServerProcess) -> None:
    ksql, files = Server(server.url), [CORE, ACCOUNTS]
    deploy(ksql, files)
    before = set(ksql.queries())
    [filling] = [query for query in before if query.startswith("CTAS_ACCOUNT_VELOCITY")]
    ksql.execute(f"TERMINATE {filling};")
    assert [item.name for item in missing(ksql, files)] == ["ACCOUNT_VELOCITY"]
    [said] = findings(server)
    assert said.startswith("the query that fills ACCOUNT_VELOCITY of queries.sql was terminated: ")
    found = statuses(ksql, files)
    assert {name for name, status in found.items() if status == "restarted"} == VELOCITY
    assert {status for name, status in found.items() if name not in VELOCITY} == {"unchanged"}
    # The number in the id is that of the command.
    assert {query.rpartition("_")[0] or query for query in ksql.queries()} == {
        q.rpartition("_")[0] or q for q in before
    }
    assert set(statuses(ksql, files).values()) == {"unchanged"} and not findings(server)


def test_all_that_was_terminated_is_named_and_started_again(server: KsqlServerProcess) -> None:
    ksql, files = Server(server.url), [CORE, ACCOUNTS]
    deploy(ksql, files)
    count = len(ksql.queries())
    ksql.execute("TERMINATE ALL;")
    said = findings(server)
    for name in ("HIGH_AMOUNT", "HIGH_VELOCITY", "LOOKBACK_VELOCITY", "ACCOUNT_SPEND", "ACCOUNT_VELOCITY"):
        assert any(name in sentence for sentence in said), (name, said)
    statuses(ksql, files)
    assert len(ksql.queries()) == count and not findings(server)


def test_what_has_ended_stays_where_another_version_reads_it(server: KsqlServerProcess, tmp_path: Path) -> None:
    """Starting it again would replace the reader, which nobody has asked for."""
    ksql = Server(server.url)
    changed = tmp_path / "changed.sql"
    text = CORE.read_text()
    at = text.index("INSERT INTO fraud_alerts WITH (QUERY_ID='high_velocity')")
    assert "HIGH_VELOCITY:" in text[at:]
    changed.write_text(text[:at] + text[at:].replace("'HIGH_VELOCITY:", "'OTHER_VELOCITY:"))
    deploy(ksql, [CORE, ACCOUNTS])
    ksql.execute("TERMINATE HIGH_VELOCITY;")
    deploy(ksql, [changed])
    [filling] = [query for query in ksql.queries() if query.startswith("CTAS_ACCOUNT_VELOCITY")]
    ksql.execute(f"TERMINATE {filling};")
    found = statuses(ksql, [CORE])
    assert (found["ACCOUNT_VELOCITY"], found["HIGH_VELOCITY"]) == ("ended", "different")
    made = plan(ksql, read(CORE, {}), replace=True)
    made.take_down()
    assert {o.item.name for o in made.send() if o.status == "replaced"} == VELOCITY


def test_a_server_that_was_terminated_is_known(server: KsqlServerProcess) -> None:
    ksql = Server(server.url)
    assert not ksql.is_terminated()
    assert requests.post(f"{server.url}/ksql/terminate", json={}, timeout=30).ok
    assert ksql.is_terminated()
    server.stop()
    server.start()
    assert not ksql.is_terminated()
    assert set(statuses(ksql, [CORE]).values()) == {"new"}
