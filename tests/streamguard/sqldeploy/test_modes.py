"""The queries of SQL rules follow the modes of the rules, on a running engine: from where they were left, nothing twice."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from streamguard.rules import modes
from streamguard.sqldeploy.state import Server
from streamguard.stack.health import Context, engine
from tests.streamguard.cli.test_commands import Line
from tests.support.broker import free_port
from tests.support.desk import Desk
from tests.support.engine import produce
from tests.support.ksqldb import KsqlServerProcess, eventually
from tests.support.records import T0_MS, transaction_value
from tests.support.topics import read_topic


def pay(server: KsqlServerProcess, *payments: tuple[str, str, float]) -> None:
    """Payments of (id, account, amount) into the topic, in one minute."""
    records = [(account, transaction_value(name, account, amount, T0_MS)) for name, account, amount in payments]
    produce(server.bootstrap_servers, "transactions", records)


def alerts(server: KsqlServerProcess, rule: str) -> Counter[str]:
    """The records of a rule's alerts by the transaction that they name."""
    values = [orjson.loads(record.value) for record in read_topic(server.bootstrap_servers, "fraud_alerts")]
    return Counter(value["TRANSACTION_ID"] for value in values if value["RULE"] == rule)


def states(server: KsqlServerProcess) -> dict[str, str]:
    return Server(server.url).states()


def said(desk: Desk, server: KsqlServerProcess) -> list[str]:
    """What status says of the queries."""
    with desk.engine.connect() as connection:
        queries = Server(server.url).execute("SHOW QUERIES;")[0]["queries"]
        context = Context(desk.settings, database=connection, engine=Server(server.url), queries=queries)
        checks = (engine.failed, engine.other_mode, engine.rule_missing)
        return [finding.sentence for check in checks for finding in check(context)]


def test_a_rule_that_is_off_goes_on_where_it_was_left(line: Line, desk: Desk, server: KsqlServerProcess) -> None:
    line("deploy", "queries.sql")
    pay(server, ("big1", "A", 4_000))
    eventually(lambda: alerts(server, "HIGH_AMOUNT") == {"big1": 1})
    switched = line("rules", "set", "HIGH_AMOUNT", "off", "--reason", "too noisy")
    assert switched == "HIGH_AMOUNT is off (it was active)\nPAUSE HIGH_AMOUNT; done\n"
    # A restart, and a deployment, leave it off.
    server.stop()
    server.start()
    assert "new" not in line("deploy", "queries.sql")
    assert states(server)["HIGH_AMOUNT"] == "PAUSED" and said(desk, server) == []

    pay(server, ("big2", "A", 5_000), *((f"t{n}", "B", 10.0) for n in range(4)))
    eventually(lambda: alerts(server, "HIGH_VELOCITY"))
    assert alerts(server, "HIGH_AMOUNT") == {"big1": 1}
    assert "RESUME HIGH_AMOUNT; done" in line("rules", "set", "HIGH_AMOUNT", "shadow", "--reason", "measured first")
    eventually(lambda: alerts(server, "HIGH_AMOUNT") == {"big1": 1, "big2": 1})
    # Between shadow and active no query changes.
    assert line("rules", "set", "HIGH_AMOUNT", "active", "--reason", "good").count("\n") == 1


def test_what_was_cut_off_is_named_and_finished(line: Line, desk: Desk, server: KsqlServerProcess) -> None:
    """The mode is stored, and whoever stored it was killed before the server knew."""
    line("deploy", "queries.sql")
    for mode, state, finish in (
        ("off", "PAUSED", ("deploy",)),
        ("active", "RUNNING", ("rules", "set", "HIGH_AMOUNT", "active", "--reason", "again")),
    ):
        with desk.engine.begin() as connection:
            modes.set_mode(connection, "HIGH_AMOUNT", mode, who="ana", why="x")
        [sentence] = said(desk, server)
        assert "HIGH_AMOUNT is" in sentence and "`streamguard deploy`" in sentence
        line(*finish)
        assert states(server)["HIGH_AMOUNT"] == state and said(desk, server) == []
    assert len(line("rules", "history").splitlines()) == 2, "finishing is no change"


def test_what_somebody_paused_by_hand_stays_paused(line: Line, server: KsqlServerProcess) -> None:
    line("deploy", "queries.sql")
    server.ksql("PAUSE HIGH_AMOUNT;")
    line("deploy", "queries.sql")
    assert states(server)["HIGH_AMOUNT"] == "PAUSED"


def test_a_deployment_does_not_start_a_rule_that_is_off(line: Line, desk: Desk, server: KsqlServerProcess) -> None:
    assert line("rules", "set", "HIGH_VELOCITY", "off", "--reason", "not here") == (
        "HIGH_VELOCITY is off (it was active)\n"
    )
    assert "off        query   HIGH_VELOCITY" in line("deploy", "queries.sql")
    assert "HIGH_AMOUNT" in states(server) and "HIGH_VELOCITY" not in states(server)
    assert said(desk, server) == [], "a rule that is off is not missing"
    switched = line("rules", "set", "HIGH_VELOCITY", "active", "--reason", "here too")
    assert "the server does not run HIGH_VELOCITY: `streamguard deploy queries.sql` sends it" in switched
    assert "new        query   HIGH_VELOCITY" in line("deploy", "queries.sql")
    line("rules", "set", "HIGH_AMOUNT", "off", "--reason", "not here")
    assert "off        query   HIGH_AMOUNT" in line("deploy", "--replace", "--define", "high_amount=9")
    assert "HIGH_AMOUNT" not in states(server)


def test_a_server_that_does_not_answer_is_named_and_the_mode_is_stored(
    line: Line, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSQLDB_URL", f"http://127.0.0.1:{free_port()}")
    switched = line("rules", "set", "HIGH_AMOUNT", "off", "--reason", "x", code=1)
    assert "the mode of HIGH_AMOUNT is stored, and its query does not follow yet (no ksqlDB server answers" in switched
    with desk.engine.begin() as connection:
        assert modes.modes_of(connection) == {"HIGH_AMOUNT": "off"}
    assert "night is off" in line("rules", "set", "night", "off", "--reason", "Python rules need no server")


def test_a_deployment_without_a_database_says_that_it_knows_no_modes(line: Line) -> None:
    line.url = f"postgresql://streamguard:x@127.0.0.1:{free_port()}/streamguard"
    said = line("deploy", "queries.sql")
    assert "the modes of rules are not known, a rule that is off may run: the database (DATABASE_URL)" in said
