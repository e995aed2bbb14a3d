"""A deployment, a promotion or a drop that is killed at any step is finished by the same call, and nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection

from streamguard.config import Settings, load_settings
from streamguard.kafka.clients import kafka_admin
from streamguard.kafka.topics import ensure_topics
from streamguard.sqldeploy import Replacing, promote
from streamguard.sqldeploy.journal import open_shadow
from streamguard.sqldeploy.run import deploy
from streamguard.sqldeploy.state import Server
from tests.streamguard.cli.test_commands import Line
from tests.streamguard.sqldeploy.plain import Arrivals, Version
from tests.streamguard.sqldeploy.test_promote import LOWER, NO_DIFFERENCE, differs, has_no_shadow, waiting
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program, eventually
from tests.support.project import PROJECT_ROOT
from tests.support.topics import read_topic

_CHANGES = ("CREATE", "INSERT", "DROP", "TERMINATE", "PAUSE", "RESUME")


class Killed(BaseException):
    """Ends a call as SIGKILL does: no handler of errors sees it."""


class Steps:
    """Counts what a call does from outside: statements sent and transactions committed; ends it behind one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count, self._last = 0, last

    def done(self) -> None:
        self.count += 1
        if self.count == self._last:
            raise Killed


class MortalServer(Server):
    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    def execute(self, sql: str, variables: dict[str, str] | None = None) -> list[dict[str, Any]]:
        entities = super().execute(sql, variables)
        if sql.lstrip().upper().startswith(_CHANGES):
            self._steps.done()
        return entities


class Bench:
    """The velocity rule alone, in a file of its own, on a real broker, engine and database."""

    def __init__(self, desk: Desk, server: KsqlServerProcess, folder: Path) -> None:
        self.desk, self.server = desk, server
        self.settings: Settings = load_settings(
            database_url=desk.postgres.url(),
            kafka_bootstrap_servers=server.bootstrap_servers,
            ksqldb_url=server.url,
        )
        self.file = folder / "velocity.sql"
        text = (PROJECT_ROOT / "ksqldb" / "queries.sql").read_text()
        velocity = text.index("CREATE TABLE account_velocity")
        self.file.write_text(text[: text.index("CREATE STREAM transactions")] + text[velocity:])
        ensure_topics(self.settings)
        deploy(Server(server.url), [PROJECT_ROOT / "ksqldb" / "queries.sql"])

    def transaction(self, steps: Steps) -> Callable[[], AbstractContextManager[Connection]]:
        @contextmanager
        def begin() -> Iterator[Connection]:
            with self.desk.engine.begin() as connection:
                yield connection
            steps.done()

        return begin

    def call(self, what: str, last: int | None = None, *, count: int = 2) -> int:
        """Deploy, promote or drop a shadow with a limit of velocity; returns how many steps were done."""
        steps = Steps(last)
        server = MortalServer(self.server.url, steps)
        with kafka_admin(self.settings) as kafka:
            how = Replacing(self.settings, kafka, self.transaction(steps), "now", "ana", "a trial")
            try:
                self._call(what, server, how, count)
            except Killed:
                assert steps.count == last
        return steps.count

    def _call(self, what: str, server: Server, how: Replacing, count: int) -> None:
        if what == "deploy":
            definitions = {"velocity_count": str(count), "max_ahead_ms": str(3_600_000 + count)}
            promote.deploy_shadow(server, how, [self.file], definitions)
            return
        with self.desk.engine.begin() as connection:
            shadow = open_shadow(connection)
        if shadow is not None:
            (promote.promote if what == "promote" else promote.drop)(server, how, shadow)

    def names(self) -> list[str]:
        """What the server has, without numbers of queries."""
        server = Server(self.server.url)
        queries = ["_".join(part for part in query.split("_") if not part.isdigit()) for query in server.queries()]
        return sorted([*queries, *server.topics()])

    def states(self) -> list[object]:
        return [row[0] for row in self.desk.rows("SELECT state FROM shadow_deployments ORDER BY deployment_no")]

    def expected(self, first_count: int) -> set[Version]:
        """The plain reading: each transaction under the limit of the last replacement that begins at or before it."""
        rows = self.desk.rows("SELECT first_offsets, sql_after FROM rule_replacements ORDER BY replacement_no")
        changes = [(offsets, 2 if "> 2)" in str(sql) else 3) for offsets, sql in rows]
        found: set[Version] = set()
        seen: Counter[tuple[Any, int]] = Counter()
        for record in read_topic(self.server.bootstrap_servers, "transactions"):
            value = orjson.loads(record.value)
            window = (value["account_id"], value["event_time"] // 60_000 * 60_000)
            seen[window] += 1
            limit = first_count
            for offsets, count in changes:
                assert isinstance(offsets, dict)
                limit = count if record.offset >= offsets.get(str(record.partition), 0) else limit
            if seen[window] > limit:
                found.add((f"HIGH_VELOCITY:{window[0]}:{window[1]}", seen[window], value["transaction_id"]))
        return found


@pytest.fixture
def bench(desk: Desk, server: KsqlServerProcess, tmp_path: Path) -> Bench:
    return Bench(desk, server, tmp_path)


def test_a_shadow_that_is_killed_while_it_is_deployed_or_dropped(bench: Bench) -> None:
    before = bench.names()
    steps = bench.call("deploy")
    whole = bench.names()
    assert len(whole) > len(before)
    dropped = bench.call("drop")
    assert bench.names() == before and has_no_shadow(bench.server)
    for last in range(1, steps + 1):
        bench.call("deploy", last)
        bench.call("deploy")
        assert bench.names() == whole
        bench.call("drop", min(last, dropped))
        bench.call("drop")
        assert bench.names() == before and has_no_shadow(bench.server)
    assert set(bench.states()) == {"dropped"}


def test_a_shadow_that_was_never_finished_is_dropped_or_its_place_is_taken(bench: Bench) -> None:
    before = bench.names()
    steps = bench.call("deploy")
    bench.call("drop")
    bench.call("deploy", steps - 2)
    bench.call("drop")
    assert bench.names() == before and has_no_shadow(bench.server)
    bench.call("deploy", steps - 2)
    bench.call("deploy", count=5)
    assert bench.states()[-2:] == ["dropped", "running"]


@pytest.mark.parametrize("stride", [pytest.param(5, id="some"), pytest.param(1, id="each", marks=pytest.mark.soak)])
def test_a_promotion_that_is_killed_at_a_step_is_finished_by_the_next(
    bench: Bench, consumer: Program, stride: int
) -> None:
    """To 2 and back to 3 again and again, killed one step later each time, with transactions before, between and after."""
    consumer.start()
    arrivals = Arrivals(bench.server.bootstrap_servers)
    arrivals.send(300)
    live = bench.names()
    bench.call("deploy", count=2)
    steps = bench.call("promote")
    assert steps > 15 and bench.states() == ["promoted"]
    count = 2
    for last in range(1, steps + 1, stride):
        count = 5 - count
        arrivals.send(60)
        bench.call("deploy", count=count)
        bench.call("promote", last)
        arrivals.send(60)
        bench.call("promote")
        assert bench.names() == live and has_no_shadow(bench.server)
    assert set(bench.states()) == {"promoted"}
    arrivals.send(300)
    [(replaced, open_ones)] = bench.desk.rows(
        "SELECT count(*), count(*) FILTER (WHERE finished_at IS NULL) FROM rule_replacements"
    )
    assert replaced == len(bench.states()) and open_ones == 0, "one for each promotion, however often it was begun"
    expected = bench.expected(3)
    eventually(lambda: differs(bench.desk, expected), lambda found: found == NO_DIFFERENCE, 60)
    eventually(lambda: waiting(bench.desk), lambda found: found == [(0, 0)])


@pytest.mark.soak
@pytest.mark.parametrize("stride", [pytest.param(4, id="some"), pytest.param(1, id="each")])
def test_a_rule_of_several_queries_that_is_killed_on_the_way(bench: Bench, stride: int) -> None:
    """One replacement of the rule for each promotion, with the limits of its first attempt."""
    bench.file = PROJECT_ROOT / "ksqldb" / "blacklist.sql"
    deploy(Server(bench.server.url), [bench.file])
    arrivals = Arrivals(bench.server.bootstrap_servers)
    live = bench.names()
    bench.call("deploy", count=1)
    steps = bench.call("promote")
    limits = (
        "SELECT first_offsets FROM rule_replacements WHERE rule = 'BLACKLISTED' ORDER BY replacement_no DESC LIMIT 1"
    )
    for count, last in enumerate(range(1, steps + 1, stride), 2):
        bench.call("deploy", count=count)
        arrivals.send(20)
        bench.call("promote", last)
        first = bench.desk.rows(limits)
        arrivals.send(20)
        bench.call("promote")
        begun = bench.desk.rows("SELECT count(*), count(finished_at) FROM rule_replacements")
        assert begun == [(count, count)] and bench.names() == live and has_no_shadow(bench.server)
        [(offsets,)] = bench.desk.rows(limits)
        assert isinstance(offsets, dict)
        assert sum(offsets.values()) in (40 * (count - 1), 40 * (count - 1) - 20)
        assert sum(offsets.values()) == 40 * (count - 1) or [(offsets,)] == first


def test_a_process_that_is_killed_between_two_statements(
    line: Line, bench: Bench, consumer: Program, server: KsqlServerProcess
) -> None:
    consumer.start()
    arrivals = Arrivals(server.bootstrap_servers)
    arrivals.send(600)
    line("deploy", "--shadow", *LOWER)
    command = [sys.executable, "-m", "streamguard.cli", "rules", "promote", "--reason", "x"]
    environment = {"DATABASE_URL": bench.desk.postgres.url()}
    with arrivals:
        with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for said in process.stdout:
                if "ACCOUNT_VELOCITY" in said:
                    process.send_signal(signal.SIGKILL)
                    break
        assert "promotion of" in line("rules", "drop-shadow", code=1)
        line("rules", "promote", "--reason", "x")
    arrivals.send(200)
    expected = bench.expected(3)
    eventually(lambda: differs(bench.desk, expected), lambda found: found == NO_DIFFERENCE, 60)
    assert has_no_shadow(server)
