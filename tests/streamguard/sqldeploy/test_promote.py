"""A shadow beside what runs: compared, promoted while transactions arrive, and dropped, on real parts."""

from __future__ import annotations

import json

import pytest
from kafka import KafkaAdminClient

from streamguard.sqldeploy.state import Server
from tests.streamguard.cli.test_commands import Line
from tests.streamguard.sqldeploy.plain import Arrivals, Version, versions
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program, eventually

LOWER = ("queries.sql", "--define", "velocity_count=2")
NONE_OF_IT = ("shadow_alerts", "shadow_account_velocity")


def topics(server: KsqlServerProcess) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


def has_no_shadow(server: KsqlServerProcess) -> bool:
    engine = Server(server.url)
    names = [*engine.queries(), *engine.topics(), *topics(server)]
    return not [name for name in names if "shadow" in name.lower()]


def stored_versions(desk: Desk, rule: str = "HIGH_VELOCITY") -> set[Version]:
    rows = desk.rows(
        "SELECT alert_id, v.tx_count, v.transaction_id FROM alert_versions v JOIN fraud_alerts USING (alert_id)"
        " WHERE rule = %s",
        rule,
    )
    return {(str(alert), int(str(count)), str(transaction)) for alert, count, transaction in rows}


def differs(desk: Desk, expected: set[Version], rule: str = "HIGH_VELOCITY") -> dict[str, set[Version]]:
    """What is stored and should not be, and what should and is not."""
    stored = stored_versions(desk, rule)
    return {"too many": stored - expected, "missing": expected - stored}


NO_DIFFERENCE: dict[str, set[Version]] = {"too many": set(), "missing": set()}


def limits_of(desk: Desk, rule: str = "HIGH_VELOCITY") -> dict[int, int]:
    """The first offsets of the newest replacement of a rule."""
    statement = "SELECT first_offsets FROM rule_replacements WHERE rule = %s ORDER BY replacement_no DESC LIMIT 1"
    [(offsets,)] = desk.rows(statement, rule)
    assert isinstance(offsets, dict)
    return {int(number): int(offset) for number, offset in offsets.items()}


def waiting(desk: Desk) -> list[tuple[object, ...]]:
    """How many alerts are held, and how many versions are not judged."""
    return desk.rows(
        "SELECT (SELECT count(*) FROM held_alerts), (SELECT count(*) FROM alert_versions WHERE NOT judged)"
    )


@pytest.mark.soak
def test_a_promotion_while_transactions_arrive_loses_and_doubles_nothing(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    servers = server.bootstrap_servers
    consumer.start()
    line("deploy", "queries.sql")
    arrivals = Arrivals(servers)
    arrivals.send(1_500)
    deployed = line("deploy", "--shadow", *LOWER, "--reason", "a lower limit", "--by", "ana")
    assert "new        query   SHADOW_HIGH_VELOCITY" in deployed
    expected = versions(servers, {}, 3, 3)
    eventually(lambda: differs(desk, expected), lambda found: found == NO_DIFFERENCE)
    with arrivals:
        assert "HIGH_VELOCITY" in line("rules", "compare")
        said = line("rules", "promote", "--reason", "it finds more", "--by", "ben")
    arrivals.send(500)
    assert "HIGH_AMOUNT, HIGH_VELOCITY run as in" in said and "transactions from now on" in said
    limits = limits_of(desk)
    expected = versions(servers, limits, 3, 2)
    assert expected > versions(servers, limits, 3, 3), "the new limit is to be seen"
    eventually(lambda: differs(desk, expected), lambda found: found == NO_DIFFERENCE, 60)
    eventually(lambda: waiting(desk), lambda found: found == [(0, 0)])
    [(left_out, finished)] = desk.rows(
        "SELECT left_out, finished_at IS NOT NULL FROM rule_replacements WHERE rule = 'HIGH_VELOCITY'"
    )
    assert int(str(left_out)) == len(versions(servers, {}, 3, 2) - expected) and finished
    assert has_no_shadow(server)
    assert "unchanged  table   ACCOUNT_VELOCITY" in line("deploy", *LOWER)
    history = line("rules", "history", "HIGH_VELOCITY")
    assert "replaced from now" in history and "ben: it finds more" in history


def test_the_difference_is_that_of_a_plain_reading(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    servers = server.bootstrap_servers
    line("deploy", "queries.sql")
    Arrivals(servers).send(600)
    line("deploy", "--shadow", *LOWER, "--define", "high_amount=3200")
    assert "left out: alerts on" in line("rules", "compare"), "nothing is stored yet"
    consumer.start()
    newest = {alert: count for alert, count, _ in sorted(versions(servers, {}, 3, 3))}
    lower = {alert: count for alert, count, _ in sorted(versions(servers, {}, 3, 2))} | {
        alert: count for alert, count, _ in sorted(versions(servers, {}, 2, 2))
    }
    eventually(lambda: desk.rows("SELECT count(*) FROM transactions"), lambda found: found == [(600,)])
    found = json.loads(line("rules", "compare", "--json"))
    assert found["transactions"] == 600 and found["unplaced"] == 0
    velocity = found["rules"]["HIGH_VELOCITY"]
    assert {alert["alert_id"]: alert["tx_count"] for alert in velocity["gained"]} == {
        alert: count for alert, count in lower.items() if alert not in newest
    }
    assert velocity["lost"] == [] and velocity["changed"] == [] and velocity["live"] == len(newest)
    amount = found["rules"]["HIGH_AMOUNT"]
    assert amount["gained"] == [] and amount["lost"]
    assert all(3_000 < float(alert["amount"]) <= 3_200 for alert in amount["lost"])
    table = line("rules", "compare", "--limit", "1", "--since", "2025-11-01")
    assert "... and" in table and "on 600 transactions" in table
    # Nobody judges what the shadow finds.
    assert stored_versions(desk) <= versions(servers, {}, 3, 3)
    assert "is dropped" in line("rules", "drop-shadow", "--reason", "too many")
    assert has_no_shadow(server) and not set(NONE_OF_IT) & topics(server)
    assert "unchanged  query   HIGH_VELOCITY" in line("deploy", "queries.sql")


def test_other_files_take_the_place_of_a_shadow(line: Line, server: KsqlServerProcess, desk: Desk) -> None:
    line("deploy", "queries.sql")
    Arrivals(server.bootstrap_servers).send(300)
    line("deploy", "--shadow", *LOWER)
    assert "unchanged  query   SHADOW_HIGH_VELOCITY" in line("deploy", "--shadow", *LOWER)
    line("deploy", "--shadow", "queries.sql", "--define", "velocity_count=1000")
    states = "SELECT state, definitions->>'velocity_count' FROM shadow_deployments ORDER BY deployment_no"
    assert desk.rows(states) == [("dropped", "2"), ("running", "1000")]
    found = json.loads(line("rules", "compare", "--json"))
    assert found["rules"]["HIGH_VELOCITY"]["shadow"] == 0, "alerts of the first shadow are gone with its topic"


@pytest.mark.parametrize("command", ["promote", "drop-shadow", "compare"])
def test_without_a_shadow_one_sentence_says_so(line: Line, command: str) -> None:
    reason = () if command == "compare" else ("--reason", "x")
    assert "there is no shadow: `streamguard deploy --shadow FILE` makes one" in line("rules", command, *reason, code=1)
