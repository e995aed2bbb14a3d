"""An alert whose transaction the consumer refused says so, whatever came first, and freezes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.alerts.actions import list_alerts, resolve_alert
from streamguard.consumer.refusals import account_of, id_of
from streamguard.consumer.store import Store
from streamguard.models import Decision
from streamguard.privacy.protection import Protection
from tests.streamguard.consumer.test_store import state
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction, transaction_value

HUGE = 1_048_577


def record(offset: int, key: bytes, **fields: object) -> Record:
    """A record of `transactions` with these fields, whatever its key."""
    return Record("transactions", 0, offset, key, json.dumps(fields).encode())


def of_big(**changes: object) -> dict[str, object]:
    return {**transaction_value("big", "A", 4_000, T0_MS), **changes}


REFUSED = {
    "another account than the key": record(0, b"A", **of_big(account_id="B")),
    "a name in two letter cases": record(0, b"A", **of_big(), Amount=7),
    "the id in two letter cases": record(0, b"A", **of_big(), TRANSACTION_ID="big", transaction_Id="small"),
    "names in upper case": record(0, b"A", **{name.upper(): value for name, value in of_big(account_id="B").items()}),
    "a time beyond 64 bits": record(0, b"A", **of_big(event_time=2**64 + T0_MS)),
    "a time of more digits than Python reads": record(0, b"A", **of_big(event_time="9" * 5_000)),
    "too large": record(0, b"A", **of_big(note="x" * HUGE)),
    "a currency that is none": record(0, b"A", **of_big(currency="XXQ")),
    "without a currency": record(0, b"A", transaction_id="big", amount=4_000, event_time=T0_MS),
}
ALERT = high_amount(0, "big", "A", 4_000, T0_MS)
STATE = "SELECT outcome, score, status FROM fraud_alerts"
PLACES = (
    "SELECT judged, refused_topic, refused_partition, refused_offset FROM alert_versions ORDER BY alert_id, tx_count"
)
BOOKS = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions')"
    " = (SELECT count(*) FROM transactions) + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions')"
)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("order", ["alert first", "dead letter first", "together"])
def test_an_alert_on_a_refused_transaction_says_so(desk: Desk, kind: str, order: str) -> None:
    batches = {
        "alert first": [[ALERT], [REFUSED[kind]]],
        "dead letter first": [[REFUSED[kind]], [ALERT]],
        "together": [[ALERT, REFUSED[kind]]],
    }
    for batch in batches[order]:
        desk.feed(*batch)
    assert desk.rows(STATE) == [("refused", None, "open")]
    assert desk.rows(PLACES) == [(True, "transactions", 0, 0)]
    [(reason,)] = desk.rows("SELECT reason FROM dead_letters")
    wanted = f"its transaction is the dead letter transactions/0/0: {reason}"
    assert desk.rows("SELECT decided_by, outcome, reason FROM decisions") == [("consumer", "refused", wanted)]
    values = desk.rows("SELECT value FROM outbox WHERE topic = 'decisions'")
    [decision] = [Decision.from_json(bytes(value)) for (value,) in values]  # type: ignore[call-overload]
    assert (decision.outcome, decision.decided_by, decision.reason) == ("refused", "consumer", wanted)
    assert desk.rows(BOOKS) == [(True,)]


def test_a_key_that_is_no_utf_8(desk: Desk) -> None:
    """SQL sees the account with U+FFFD in it."""
    desk.feed(record(0, b"A\xff", **of_big()), high_amount(0, "big", "A\ufffd", 4_000, T0_MS))
    assert desk.rows(STATE) == [("refused", None, "open")]


@pytest.mark.parametrize("mode", ["token", "mask"])
def test_where_personal_data_is_protected(desk: Desk, mode: str) -> None:
    protection = Protection(dict.fromkeys(("account", "card", "ip", "device"), mode), "a key")
    desk.store = Store(desk.engine, desk.settings, protection=protection)
    desk.decoder._protection = protection
    clear = "BR-00040607"
    desk.feed(record(0, clear.encode(), **of_big(account_id="another", pan="4111222233334444")))
    desk.feed(high_amount(0, "big", clear, 4_000, T0_MS))
    assert desk.rows(STATE) == [("refused", None, "open")]
    assert desk.rows("SELECT d.account_id = a.account_id FROM dead_letters d, fraud_alerts a") == [(True,)]
    rows = desk.rows("SELECT to_jsonb(d)::TEXT, convert_from(raw_value, 'UTF8') FROM dead_letters d")
    assert clear not in str(rows) and "4111222233334444" not in str(rows)


def test_a_bad_alert_is_no_refused_transaction(desk: Desk) -> None:
    """Dead letters of the alerts' topic name a transaction too, and refuse nothing."""
    value = {"ALERT_ID": "x", "TRANSACTION_ID": "big"}
    desk.feed(ALERT, Record("fraud_alerts", 0, 1, b"A", orjson.dumps(value)))
    assert desk.rows(STATE) == [(None, None, "open")]
    assert desk.rows("SELECT transaction_id, account_id FROM dead_letters") == [(None, None)]


BURST = [transaction(n, f"t{n}", "A", 10.0 + n, T0_MS + n * 1_000) for n in range(7)]
ABSURD = record(4, b"A", **transaction_value("t4", "B", 14, T0_MS + 4_000))
PAYMENTS = [*BURST[:4], ABSURD, *BURST[5:]]
GROWING = [
    high_velocity(count - 4, "A", T0_MS, [f"t{n}" for n in range(count)], sum(10.0 + n for n in range(count)))
    for count in range(4, 8)
]


def test_one_refused_transaction_does_not_freeze_a_burst(desk: Desk) -> None:
    shown = []
    for count, alert in enumerate(GROWING, start=4):
        desk.feed(*(PAYMENTS[:4] if count == 4 else PAYMENTS[count - 1 : count]), alert)
        shown += desk.rows("SELECT outcome FROM fraud_alerts")
    assert [outcome for (outcome,) in shown] == ["review", "refused", "review", "review"]
    by = desk.rows("SELECT tx_count, decided_by, outcome FROM decisions ORDER BY 1")
    assert by == [(4, "rules", "review"), (5, "consumer", "refused"), (6, "rules", "review"), (7, "rules", "review")]
    assert desk.rows("SELECT transaction_id FROM transactions WHERE is_fraud ORDER BY 1") == [
        (f"t{n}",) for n in (0, 1, 2, 3, 5, 6)
    ]


@pytest.mark.parametrize("alert_first", [True, False])
def test_a_refused_transaction_that_is_stored_later_is_judged(desk: Desk, alert_first: bool) -> None:
    records = [ALERT, REFUSED["another account than the key"]]
    for one in records if alert_first else reversed(records):
        desk.feed(one)
    assert desk.rows(STATE) == [("refused", None, "open")]
    desk.feed(transaction(5, "big", "A", 4_000, T0_MS))
    assert desk.rows(STATE) == [("review", 60, "open")]
    assert desk.rows("SELECT decided_by, outcome FROM decisions") == [("rules", "review")]
    assert desk.rows(PLACES) == [(True, None, None, None)]
    assert desk.rows("SELECT is_fraud FROM transactions") == [(True,)]


def test_a_repeated_id_with_another_content_in_any_order(desk: Desk) -> None:
    """The rule saw the second record, which is a dead letter; the first, which is stored, is innocent."""
    first, second = transaction(0, "big", "A", 10, T0_MS), transaction(1, "big", "A", 4_000, T0_MS + 5)
    alert = high_amount(0, "big", "A", 4_000, T0_MS + 5)
    for order in permutations((first, second, alert)):
        if order.index(first) > order.index(second):
            continue
        desk.rows(TRUNCATE)
        for one in order:
            desk.feed(one)
        assert desk.rows(STATE) == [("refused", None, "open")]
        assert desk.rows(PLACES) == [(True, "transactions", 0, 1)]
        assert desk.rows("SELECT decided_by FROM decisions") == [("consumer",)]
        assert desk.rows("SELECT is_fraud FROM transactions") == [(False,)]
        assert desk.rows("SELECT count(*) FROM alert_transactions") == [(0,)]


def test_a_repeated_id_of_another_account(desk: Desk) -> None:
    other = replace(transaction(0, "big", "B", 4_000, T0_MS), partition=1)
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), ALERT)
    desk.feed(other, high_amount(1, "big", "B", 4_000, T0_MS))
    # Both alerts have one id: the newer record has the account, its version is that of before.
    assert desk.rows("SELECT outcome FROM fraud_alerts") == [("review",)]
    desk.rows(TRUNCATE)
    desk.feed(transaction(0, "big", "A", 10, T0_MS))
    desk.feed(other, high_amount(1, "big", "B", 4_000, T0_MS))
    assert desk.rows(STATE) == [("refused", None, "open")]


@pytest.mark.parametrize("repeated", [1, 2])
def test_a_repetition_of_the_same_content_changes_nothing(desk: Desk, repeated: int) -> None:
    big = transaction(0, "big", "A", 4_000, T0_MS)
    desk.feed(big, ALERT)
    for number in range(repeated):
        desk.feed(replace(big, offset=1 + number))
    assert desk.rows(STATE) == [("review", 60, "open")]
    assert desk.rows(PLACES) == [(True, None, None, None)]


def test_a_rule_with_an_amount_of_its_own_is_judged_as_ever(desk: Desk) -> None:
    """What `amount` means is the rule's affair: no dead letter fits better, so the stored transaction is meant."""
    big = transaction(0, "big", "A", 4_000, T0_MS)
    desk.feed(big, replace(big, offset=1), high_amount(0, "big", "A", 99, T0_MS))
    assert desk.rows(STATE) == [("review", 60, "open")]


def test_an_analyst_decides_on_a_refused_alert(desk: Desk) -> None:
    desk.feed(REFUSED["too large"], ALERT)
    with desk.engine.begin() as connection:
        resolve_alert(connection, "HIGH_AMOUNT:big", "confirmed", who="ana", why="seen", topic="decisions")
        resolve_alert(connection, "HIGH_AMOUNT:big", "open", who="ana", why="no", topic="decisions")
        [line] = list_alerts(connection)
    assert (line.outcome, line.status) == ("refused", "open")
    assert line.refusal is not None and "is above the limit" in line.refusal
    desk.feed(transaction(5, "big", "A", 4_000, T0_MS))
    with desk.engine.begin() as connection:
        resolve_alert(connection, "HIGH_AMOUNT:big", "dismissed", who="ana", why="known", topic="decisions")
        [line] = list_alerts(connection)
    assert (line.outcome, line.refusal) == ("review", None)


def test_what_waited_before_refusals_were_known_is_settled_at_the_start(desk: Desk) -> None:
    desk.feed(REFUSED["too large"], ALERT)
    desk.rows("DELETE FROM decisions")
    desk.rows("UPDATE fraud_alerts SET outcome = NULL")
    desk.rows(
        "UPDATE alert_versions SET judged = FALSE, refused_topic = NULL, refused_partition = NULL, refused_offset = NULL"
    )
    assert desk.store.settle_waiting() == 1
    assert desk.rows(STATE) == [("refused", None, "open")]
    assert desk.store.settle_waiting() == 0


def test_a_topic_made_anew_that_repeats_itself_settles_the_same(desk: Desk) -> None:
    desk.feed(*PAYMENTS, *GROWING)
    before = state(desk)
    desk.rows("UPDATE consumer_offsets SET next_offset = 0, records_read = 0")
    desk.feed(*PAYMENTS, *GROWING)
    desk.rows("UPDATE consumer_offsets SET records_read = next_offset")
    assert state(desk) == before


TRUNCATE = (
    "TRUNCATE transactions, transaction_records, fraud_alerts, alert_handling, alert_notes,"
    " alert_transactions, alert_versions, alerts_to_check, decisions,"
    " dead_letters, outbox, consumer_offsets, lists"
)
ALL_PAYMENTS = [
    *PAYMENTS,
    replace(REFUSED["another account than the key"], offset=7),
    transaction(8, "twice", "A", 10, T0_MS + 100_000),
    transaction(9, "twice", "A", 5_000, T0_MS + 100_000),
    replace(
        REFUSED["a currency that is none"], offset=10, value=orjson.dumps(of_big(transaction_id="late", currency="?"))
    ),
    transaction(11, "late", "A", 4_000, T0_MS),
]
ALL_ALERTS = [
    *GROWING,
    high_amount(4, "big", "A", 4_000, T0_MS),
    high_amount(5, "twice", "A", 5_000, T0_MS + 100_000),
    high_amount(6, "late", "A", 4_000, T0_MS),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.booleans(), min_size=19, max_size=19), cuts=st.sets(st.integers(1, 18), max_size=8))
def test_order_and_batching_change_nothing(desk: Desk, order: list[bool], cuts: set[int]) -> None:
    """Refused, repeated and retried transactions among others: any interleaving ends in the same rows."""
    wanted = getattr(desk, "wanted", None)
    if wanted is None:
        desk.feed(*ALL_PAYMENTS)
        desk.feed(*ALL_ALERTS)
        wanted = state(desk)
        desk.wanted = wanted  # type: ignore[attr-defined]
        assert desk.rows("SELECT count(*) FROM fraud_alerts WHERE outcome = 'refused'") == [(2,)]
    desk.rows(TRUNCATE)
    payments, alerts = list(ALL_PAYMENTS), list(ALL_ALERTS)
    mixed = [((alerts or payments) if from_alerts else (payments or alerts)).pop(0) for from_alerts in order]
    start = 0
    for end in [*sorted(cuts), len(mixed)]:
        desk.feed(*mixed[start:end])
        start = end
    assert state(desk) == wanted
    assert desk.rows("SELECT count(*) FROM alert_versions WHERE NOT judged") == [(0,)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["transaction_id", "TRANSACTION_ID", "Transaction_Id", "event_time", "amount", "x"])


# How long values take to make says nothing of the code.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    value=st.binary(max_size=40) | st.dictionaries(NAMES, JSON).map(lambda fields: json.dumps(fields).encode()),
    key=st.binary(),
)
def test_the_ids_of_any_bytes_are_none_or_texts_that_postgres_takes(value: bytes, key: bytes) -> None:
    for text in (id_of(value), account_of(key)):
        assert text is None or ("\x00" not in text and text.encode("utf-8", "strict") is not None)


def test_a_name_in_two_letter_cases_is_read_as_sql_reads_it() -> None:
    assert id_of(b'{"transaction_id": "a", "TRANSACTION_ID": "b"}') == "b"
    assert id_of(b'{"TRANSACTION_ID": "a", "transaction_id": "b"}') == "a"
    assert id_of(b'{"Transaction_Id": "a", "transaction_id": "b"}') == "b"
    assert id_of(b'{"transaction_id": 12.50}') == "12.50"
    assert id_of(b'{"transaction_id": 12}') == "12"
    assert id_of(b'{"transaction_id": ""}') is id_of(b"[]") is id_of(None) is None
    assert id_of(json.dumps({"transaction_id": "x" * 2_001}).encode()) is None
