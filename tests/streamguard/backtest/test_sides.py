"""Which rules are run, on which side, and what limits, modes and labels make of their alerts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamguard.backtest.plan import needs_all_partitions, new_engine
from streamguard.backtest.prepare import Request, Stack
from streamguard.backtest.show import lines
from streamguard.backtest.sides import catalogue_statements
from streamguard.backtest.statements import Sql, by_key, chain, chains, same_chain
from streamguard.config.resources import sql_file
from streamguard.rules.catalogue import sql_files
from tests.streamguard.backtest.conftest import START_MS, Bench, Payment, payments, send

GIVEN = {"max_ahead_ms": "3600000"}


def pay(number: int, amount: float, account: str = "A") -> Payment:
    return {
        "transaction_id": f"t{number}",
        "account_id": account,
        "amount": amount,
        "currency": "EUR",
        "event_time": START_MS + number * 100_000,
    }


def test_a_chain_has_what_a_rule_needs_in_the_order_in_which_it_runs() -> None:
    known = catalogue_statements(GIVEN)
    assert [sql.key for sql in chain(known, "query HIGH_VELOCITY")] == [
        "source FRAUD_ALERTS",
        "source TRANSACTIONS",
        "source ACCOUNT_VELOCITY",
        "source ACCOUNT_VELOCITY_CHANGES",
        "query HIGH_VELOCITY",
    ]
    assert len(chain(known, "query HIGH_AMOUNT")) == 3


def test_a_rule_differs_where_anything_that_it_needs_does() -> None:
    known = catalogue_statements(GIVEN)
    table = known["source ACCOUNT_VELOCITY"]
    lower = {**known, table.key: replace(table, text=table.text.replace("COUNT(*) > 3", "COUNT(*) > 2"))}
    spaced = {**known, table.key: replace(table, text=table.text.replace("COUNT(*) > 3", "COUNT ( * ) >  3"))}
    assert not same_chain(known, lower, "query HIGH_VELOCITY")
    assert same_chain(known, lower, "query HIGH_AMOUNT")
    assert same_chain(known, spaced, "query HIGH_VELOCITY")


@pytest.mark.parametrize(
    ("query", "gathers"),
    [
        ("SELECT account_id, COUNT(*) AS n FROM transactions GROUP BY account_id", False),
        ("SELECT merchant_id, COUNT(*) AS n FROM transactions GROUP BY merchant_id", True),
    ],
)
def test_rules_that_bring_accounts_together_need_all_partitions(query: str, gathers: bool) -> None:
    known = catalogue_statements(GIVEN)
    table = Sql("source COUNTED", f"CREATE TABLE counted AS {query} EMIT CHANGES;", "here")
    statements = chain({**known, table.key: table}, table.key)
    assert needs_all_partitions(new_engine(statements, {"transactions": 3}, lambda: 0)) == gathers


def test_the_rules_of_the_catalogue_that_need_all_partitions() -> None:
    known = catalogue_statements(GIVEN)
    engines = {
        key: new_engine(chain(known, key), {"transactions": 3}, lambda: 0) for key, sql in known.items() if sql.is_rule
    }
    assert [key for key, engine in engines.items() if needs_all_partitions(engine)] == ["query COMPROMISED_MERCHANT"]


def test_a_key_made_of_another_column_needs_all_partitions_where_it_is_grouped_by() -> None:
    known = catalogue_statements(GIVEN)
    moved = "CREATE STREAM moved AS SELECT * FROM transactions PARTITION BY merchant_id EMIT CHANGES;"
    counted = "CREATE TABLE counted AS SELECT merchant_id, COUNT(*) AS n FROM moved GROUP BY merchant_id EMIT CHANGES;"
    added = [Sql("source MOVED", moved, "here"), Sql("source COUNTED", counted, "here")]
    for number, gathers in ((1, False), (2, True)):
        statements = chains({**known, **by_key(added)}, [sql.key for sql in added[:number]])
        assert needs_all_partitions(new_engine(statements, {"transactions": 3}, lambda: 0)) == gathers


def test_a_limit_changes_the_outcome_of_the_same_alerts(bench: Bench) -> None:
    sent = [pay(1, 4_000), pay(2, 2_999), pay(3, 5_000, "B")]
    found = bench.on_files(sent, Request(limits=["review_at=61"]))
    changed = [alert for alert in found["alerts"]["changed"] if alert["rule"] == "HIGH_AMOUNT"]
    assert [alert["alert_id"] for alert in changed] == ["HIGH_AMOUNT:t1", "HIGH_AMOUNT:t3"]
    assert [(a["a"]["outcome"], a["b"]["outcome"]) for a in changed] == [("review", "dismiss")] * 2
    assert found["sides"]["a"]["flagged"] > found["sides"]["b"]["flagged"]
    assert (found["alerts"]["gained"], found["alerts"]["lost"]) == ([], [])
    assert found["together"]["accounts"] == 2


def test_modes_of_sql_rules_and_of_python_rules(bench: Bench) -> None:
    sent = [pay(1, 4_000)]

    def kinds(mode: str, stack: Stack | None = None) -> dict[str, list[str]]:
        found = replace(bench, stack=stack or Stack()).on_files(sent, Request(modes=[mode]))
        return {kind: [alert["alert_id"] for alert in alerts] for kind, alerts in found["alerts"].items()}

    nothing: dict[str, list[str]] = {"gained": [], "lost": [], "changed": []}
    assert kinds("HIGH_AMOUNT=off") == nothing | {"lost": ["HIGH_AMOUNT:t1"]}
    assert kinds("HIGH_AMOUNT=shadow") == nothing | {"changed": ["HIGH_AMOUNT:t1"]}
    assert kinds("HIGH_AMOUNT=active", Stack(modes={"HIGH_AMOUNT": "off"})) == nothing | {"gained": ["HIGH_AMOUNT:t1"]}
    assert kinds("alert_history=off") == nothing


def test_a_new_table_in_front_of_a_rule_is_found_wherever_it_is_in_the_file(bench: Bench) -> None:
    text = sql_file("queries.sql").read_text()
    renamed = text.replace("account_velocity", "account_pace").replace("'3'", "'2'")
    found = bench.on_files(payments(500), Request(sql=[bench.sql(renamed)]))
    assert list(found["rules"]) == ["HIGH_VELOCITY"]
    assert found["alerts"]["gained"]
    assert "HIGH_AMOUNT" in found["unchanged"]


def test_precision_and_recall_follow_labels_and_analysts(topic_bench: Bench) -> None:
    # Four alerts of B, two of A; t3 and t4 are fraud, t9 is fraud that nobody finds.
    sent = [pay(1, 3_500), pay(2, 3_500), pay(3, 2_500), pay(4, 3_500, "B"), pay(9, 5)]
    send(topic_bench.servers, sent, labels={"t3": "x", "t4": "x", "t9": "x"})
    found = topic_bench.run(Request(define={"high_amount": "2000"}))
    shares = {name: (side["precision"], side["recall"]) for name, side in found["sides"].items()}
    assert shares == {"a": (round(1 / 3, 6), round(1 / 3, 6)), "b": (0.5, round(2 / 3, 6))}
    assert found["labels"]["fraud"] == 3
    assert [side["fraud_amounts"] for side in found["sides"].values()] == [{"EUR": "3500"}, {"EUR": "6000"}]
    assert "fraud found: A 3,500.00 EUR, B 6,000.00 EUR" in "\n".join(lines(found))
    resolved = Stack(resolved={"HIGH_AMOUNT:t1": True})
    found = replace(topic_bench, stack=resolved).run(Request(define={"high_amount": "2000"}))
    assert found["sides"]["b"]["precision"] == 0.75


def test_the_lists_and_limits_of_currencies_are_read_as_the_rules_read_them(topic_bench: Bench) -> None:
    files: Any = sql_files()
    send(topic_bench.servers, payments(200))
    found = topic_bench.run(Request(sql=files, everything=True))
    assert found["sides"]["a"] == found["sides"]["b"]
    assert set(found["source"]["offsets"]) == {"transactions", "blacklist", "fraud_labels"}


def test_currency_limits_of_files_are_those_of_a_new_table(bench: Bench) -> None:
    sent = [{**pay(1, 150_000), "currency": "KES"}, {**pay(2, 90_000), "currency": "KES"}]
    found = bench.on_files(sent, Request(sql=[sql_file("currency-limits.sql")], everything=True))
    assert found["rules"]["CURRENCY_LIMIT"]["a"]["alerts"] == 1
