"""Payments scored in several processes: the same scores as in one, or one process where they cannot be divided."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.config import UserError
from streamguard.evaluation.data import DAY_MS, LabelledPayment
from streamguard.evaluation.division import Division, division
from streamguard.evaluation.files import read
from streamguard.evaluation.replay import Replay, RuleSet
from streamguard.evaluation.scores import score
from streamguard.rules.catalogue import CORE, sql_files
from tests.support.cards import write_months

QUERY = "INSERT INTO fraud_alerts WITH (QUERY_ID='extra') SELECT account_id, {columns} FROM {source} EMIT CHANGES;"
COLUMNS = (
    "CONCAT('EXTRA:', transaction_id) AS alert_id, 'EXTRA' AS rule, transaction_id, amount, CAST({count} AS BIGINT) AS tx_count,"
    " event_time AS window_start, event_time AS window_end, event_time AS detected_at"
)


def rules(folder: Path, sql: str) -> RuleSet:
    """The core rules, and more SQL."""
    file = folder / "extra.sql"
    file.write_text(sql)
    return RuleSet([*sql_files(CORE), file])


def pay(number: int, card: str, amount: float = 10, **others: Any) -> LabelledPayment:
    at_ms = 17_600 * DAY_MS + 1_000 * number
    value = {
        "transaction_id": f"t{number}",
        "account_id": card,
        "merchant_id": "m",
        "currency": "EUR",
        "amount": amount,
    }
    value |= {"event_time": at_ms, **others}
    return LabelledPayment(at_ms, card, "m", amount, "", orjson.dumps(value))


def test_the_scores_of_two_months_are_those_of_one_process(tmp_path: Path) -> None:
    write_months(tmp_path, "05", "06")
    payments = read(tmp_path).payments
    alone = score(payments, RuleSet(sql_files()), processes=1)
    assert alone.alerts["COMPROMISED_MERCHANT"] > 10
    done: list[int] = []
    for processes in (2, 3):
        assert score(payments, RuleSet(sql_files()), 7, done.append, processes=processes) == alone
    assert sum(done) >= 2 * len(payments)


def test_chargebacks_are_exchanged_and_counted_by_merchant_in_every_process() -> None:
    found = division(Replay(RuleSet(sql_files())).engine)
    assert found is not None
    assert found.exchanged == ("unexplained_fraud",)
    assert [query_id.rpartition("_")[0] for query_id in found.repeated] == ["CTAS_MERCHANT_FRAUD"]


def test_the_core_rules_exchange_nothing() -> None:
    assert division(Replay(RuleSet(sql_files(CORE))).engine) == Division((), frozenset())


@pytest.mark.parametrize(
    "sql",
    [
        # Grouped by something else than the account, under the name of the account.
        "CREATE TABLE by_merchant WITH (KAFKA_TOPIC='by_merchant') AS SELECT merchant_id, AS_VALUE(merchant_id) AS account_id,"
        " LATEST_BY_OFFSET(transaction_id) AS transaction_id, LATEST_BY_OFFSET(amount) AS amount, COUNT(*) AS n,"
        " LATEST_BY_OFFSET(event_time) AS event_time FROM transactions GROUP BY merchant_id;"
        "CREATE STREAM m (account_id VARCHAR, transaction_id VARCHAR, amount DECIMAL(19, 4), n BIGINT, event_time BIGINT)"
        " WITH (KAFKA_TOPIC='by_merchant', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');"
        + QUERY.format(columns=COLUMNS.format(count="n"), source="m PARTITION BY account_id"),
        # Results of windows that all accounts of a partition close.
        "CREATE TABLE final WITH (KAFKA_TOPIC='final') AS SELECT account_id, AS_VALUE(account_id) AS account, COUNT(*) AS n,"
        " LATEST_BY_OFFSET(transaction_id) AS transaction_id, LATEST_BY_OFFSET(amount) AS amount,"
        " LATEST_BY_OFFSET(event_time) AS event_time FROM transactions"
        " WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY account_id EMIT FINAL;"
        "CREATE STREAM m (account_id VARCHAR, transaction_id VARCHAR, amount DECIMAL(19, 4), n BIGINT, event_time BIGINT)"
        " WITH (KAFKA_TOPIC='final', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');"
        + QUERY.format(columns=COLUMNS.format(count="n"), source="m PARTITION BY account_id"),
        # A join of two streams.
        "CREATE STREAM l (account_id VARCHAR KEY, reason VARCHAR) WITH (KAFKA_TOPIC='fraud_labels', VALUE_FORMAT='JSON');"
        "INSERT INTO fraud_alerts WITH (QUERY_ID='extra') SELECT t.account_id AS account_id, t.transaction_id AS alert_id,"
        " 'EXTRA' AS rule, t.transaction_id AS transaction_id, t.amount AS amount, CAST(1 AS BIGINT) AS tx_count,"
        " t.event_time AS window_start, t.event_time AS window_end,"
        " t.event_time AS detected_at FROM transactions t JOIN l WITHIN 1 DAY ON t.account_id = l.account_id EMIT CHANGES;",
    ],
    ids=["merchants", "final", "streams"],
)
def test_what_several_accounts_decide_together_is_not_divided(tmp_path: Path, sql: str) -> None:
    found = Replay(rules(tmp_path, sql)).engine
    assert "EXTRA" in [query.query.query_id for query in found.running]
    assert division(found) is None


def test_payments_whose_query_ends_are_scored_in_one_process(tmp_path: Path) -> None:
    """The query ends for every account, also for those that another process had."""
    sums = (
        "CREATE TABLE sums WITH (KAFKA_TOPIC='sums') AS SELECT account_id, AS_VALUE(account_id) AS account,"
        " SUM(CAST(amount AS DECIMAL(2, 0))) AS n, LATEST_BY_OFFSET(transaction_id) AS transaction_id,"
        " LATEST_BY_OFFSET(amount) AS amount, LATEST_BY_OFFSET(event_time) AS event_time FROM transactions GROUP BY account_id;"
        "CREATE STREAM m (account VARCHAR, transaction_id VARCHAR, amount DECIMAL(19, 4), n DECIMAL(2, 0), event_time BIGINT)"
        " WITH (KAFKA_TOPIC='sums', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');"
        "INSERT INTO fraud_alerts WITH (QUERY_ID='extra') SELECT account AS account_id, "
        + COLUMNS.format(count="n")
        + " FROM m PARTITION BY account EMIT CHANGES;"
    )
    payments = [pay(n, f"c{n % 8}") for n in range(64)] + [
        pay(64, "c1", 99),
        *(pay(n, f"c{n % 8}") for n in range(65, 90)),
    ]
    found = score(payments, rules(tmp_path, sums), processes=2)
    assert [reason.partition(":")[0] for reason in found.ended.values()] == ["Numeric field overflow"]
    assert found == score(payments, rules(tmp_path, sums), processes=1)


def test_an_alert_of_the_same_ids_counts_once_whoever_raises_it() -> None:
    payments = [pay(n, f"c{n}", 5_000, transaction_id="same") for n in range(16)]
    alone = score(payments, RuleSet(sql_files(CORE)), processes=1)
    assert alone.alerts == {"HIGH_AMOUNT": 1}
    assert score(payments, RuleSet(sql_files(CORE)), processes=2) == alone


def test_the_first_payment_meets_the_first_limits_of_currencies() -> None:
    """The limits are written now, the payment was made years ago."""
    found = score([pay(0, "c", 2_000_000, currency="KES")], RuleSet(sql_files()))
    assert found.alerts["CURRENCY_LIMIT"] == 1


def test_what_queries_leave_out_is_counted_once(tmp_path: Path) -> None:
    write_months(tmp_path, "05")
    payments = read(tmp_path).payments[:2_000]
    broken = [LabelledPayment(p.at_ms, p.account, p.merchant, p.amount, "", b"{") for p in payments[::100]]
    given = sorted([*payments, *broken], key=lambda payment: payment.at_ms)
    alone = score(given, RuleSet(sql_files()), processes=1)
    assert alone.skipped["HIGH_AMOUNT"] == {"deserialization": len(broken)}
    assert score(given, RuleSet(sql_files()), processes=2) == alone


def test_a_process_that_is_killed_is_a_sentence(tmp_path: Path) -> None:
    payments = [pay(n, f"c{n % 50}") for n in range(30_000)]

    def kill(_: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(UserError, match=r"a process of the evaluation has ended \(exit code -9\)"):
        score(payments, RuleSet(sql_files(CORE)), 7, kill, processes=2)
    assert multiprocessing.active_children() == []
