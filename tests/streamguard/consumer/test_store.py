"""What a batch does to the database, and that neither order nor batching nor crashes change the end."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.consumer.records import Batch, Span
from streamguard.consumer.store import Fenced, Store
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction

BURST = [transaction(i, f"t{i}", "A", 10.0 + i, T0_MS + i * 1_000) for i in range(6)]
GROWING = [
    high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t3"], 46.0),
    high_velocity(1, "A", T0_MS, ["t0", "t1", "t2", "t3", "t4"], 60.0),
    high_velocity(2, "A", T0_MS, ["t0", "t1", "t2", "t3", "t4", "t5"], 75.0),
]

STATE = (
    "SELECT transaction_id, account_id, amount, is_fraud, source_offset FROM transactions ORDER BY 1",
    "SELECT alert_id, rule, transaction_id, amount, tx_count, window_start, window_end, detected_at, outcome, score"
    " FROM fraud_alerts ORDER BY 1",
    "SELECT alert_id, transaction_id FROM alert_transactions ORDER BY 1, 2",
    "SELECT alert_id, tx_count, outcome, score, reason, verdicts::TEXT FROM decisions ORDER BY 1, 2",
    "SELECT alert_id, tx_count, transaction_id, evidence::TEXT, judged, refused_topic, refused_partition, refused_offset"
    " FROM alert_versions ORDER BY 1, 2",
    "SELECT source_topic, source_partition, source_offset, reason, raw_value, transaction_id, account_id FROM dead_letters"
    " ORDER BY 1, 2, 3",
    "SELECT topic, partition_no, next_offset, records_read FROM consumer_offsets ORDER BY 1, 2",
    "SELECT transaction_id, event_time, raw::TEXT FROM received_records ORDER BY 1",
)


def state(desk: Desk) -> list[list[tuple[object, ...]]]:
    """All that must not depend on how the records came."""
    return [desk.rows(statement) for statement in STATE]


def test_a_transaction_is_stored_field_by_field(desk: Desk) -> None:
    odd = "tab\there \\ back\nline\rquote'\x01" + '"é'
    more = {"merchant_name": odd, "city": "", "latitude": -23.5, "country": "BR", "device_id": "\x01", "channel": "\\N"}
    desk.feed(transaction(0, "t1", "A", 1234.5, T0_MS + 7, **more))
    columns = "transaction_id, amount::TEXT, merchant_name, city, latitude, country, device_id, channel, ip_address"
    rows = desk.rows(f"SELECT {columns}, (extract(epoch FROM event_time) * 1000)::BIGINT FROM transactions")
    assert rows == [("t1", "1234.5000", odd, "", -23.5, "BR", "\x01", "\\N", None, T0_MS + 7)]


@pytest.mark.parametrize("alert_first", [True, False])
def test_links_are_made_in_either_order(desk: Desk, alert_first: bool) -> None:
    outside = transaction(6, "later", "A", 5.0, T0_MS + 60_000)
    feeds = [[*GROWING], [*BURST, outside]]
    for records in feeds if alert_first else reversed(feeds):
        desk.feed(*records)
    linked = desk.rows("SELECT transaction_id FROM alert_transactions ORDER BY 1")
    assert linked == [(f"t{i}",) for i in range(6)]
    assert desk.rows("SELECT transaction_id FROM transactions WHERE is_fraud ORDER BY 1") == linked
    assert desk.rows("SELECT count(*) FROM fraud_alerts") == [(1,)]


def test_an_older_version_never_overwrites_a_newer_one(desk: Desk) -> None:
    desk.feed(*BURST, GROWING[2])
    desk.feed(Record("fraud_alerts", 0, 3, GROWING[0].key, GROWING[0].value))
    assert desk.rows("SELECT tx_count, amount::TEXT, transaction_id FROM fraud_alerts") == [(6, "75.0000", "t5")]


def test_an_alert_waits_undecided_for_its_transaction(desk: Desk) -> None:
    desk.feed(high_amount(0, "t1", "A", 4_000, T0_MS))
    assert desk.rows("SELECT outcome FROM fraud_alerts") == [(None,)]
    desk.feed(transaction(0, "t1", "A", 4_000, T0_MS))
    [(outcome, score)] = desk.rows("SELECT outcome, score FROM fraud_alerts")
    assert (outcome, score) == ("review", 60)
    [(reason,)] = desk.rows("SELECT reason FROM decisions")
    assert reason == "HIGH_AMOUNT over 1 transaction; little is known of this account: 0 earlier transactions"


def test_a_blacklisted_merchant_blocks_and_says_why(desk: Desk) -> None:
    desk.rows("INSERT INTO lists VALUES ('blacklist', 'merchant', 'M9', 'closed by the police')")
    desk.feed(transaction(0, "t1", "A", 4_000, T0_MS, merchant_id="M9"), high_amount(0, "t1", "A", 4_000, T0_MS))
    [(outcome, reason)] = desk.rows("SELECT outcome, reason FROM decisions")
    assert outcome == "block"
    assert "merchant M9 is blacklisted: closed by the police" in str(reason)


def test_an_expired_entry_blocks_nobody(desk: Desk) -> None:
    desk.rows("INSERT INTO lists VALUES ('blacklist', 'account', 'A', 'once', to_timestamp(%s))", T0_MS / 1000 - 1)
    desk.feed(transaction(0, "t1", "A", 4_000, T0_MS), high_amount(0, "t1", "A", 4_000, T0_MS))
    assert desk.rows("SELECT outcome FROM decisions") == [("review",)]


def test_a_second_record_with_a_stored_id_is_a_dead_letter(desk: Desk) -> None:
    first, again = transaction(0, "t1", "A", 10, T0_MS), transaction(1, "t1", "B", 99, T0_MS)
    desk.feed(first)
    twin = transaction(3, "t2", "A", 2, T0_MS)
    assert desk.feed(again, transaction(2, "t2", "A", 1, T0_MS), twin) == 2
    assert desk.rows("SELECT transaction_id, account_id FROM transactions ORDER BY 1") == [("t1", "A"), ("t2", "A")]
    rows = desk.rows("SELECT source_offset, reason, raw_value FROM dead_letters ORDER BY 1")
    assert [(offset, bytes(raw)) for offset, _, raw in rows] == [(1, again.value), (3, twin.value)]  # type: ignore[call-overload]
    assert "was stored before, from partition 0 offset 0" in str(rows[0][1])
    [(read,)] = desk.rows("SELECT records_read FROM consumer_offsets")
    assert read == 4 == 2 + len(rows)


def test_a_topic_made_anew_that_repeats_itself_is_counted_once(desk: Desk) -> None:
    """What has its offset again is counted once; what has another offset, or differs, is a dead letter."""
    bad = Record("transactions", 0, 6, b"A", b"{")
    desk.feed(*BURST, bad)
    desk.rows("DELETE FROM outbox")
    counts = (
        "SELECT (SELECT sum(records_read) FROM consumer_offsets), (SELECT count(*) FROM transactions),"
        " (SELECT count(*) FROM transaction_records),"
        " (SELECT array_agg(source_offset ORDER BY source_offset) FROM dead_letters)"
    )
    desk.rows("UPDATE consumer_offsets SET next_offset = 0")
    assert desk.feed(*BURST, bad, transaction(7, "t7", "A", 5, T0_MS)) == 1
    assert desk.rows(counts) == [(8, 7, 7, [6])]
    assert desk.rows("SELECT raw_value = '{', (SELECT count(*) FROM outbox) FROM dead_letters") == [(True, 0)]
    desk.rows("UPDATE consumer_offsets SET next_offset = 0")
    moved = transaction(0, "t1", "A", 11, T0_MS)
    assert desk.feed(moved, transaction(1, "t8", "A", 1, T0_MS), Record("transactions", 0, 6, b"A", b"[")) == 2
    assert desk.rows(counts) == [(10, 8, 8, [0, 6])]
    letters = "SELECT raw_value = '[', (SELECT count(*) FROM outbox) FROM dead_letters WHERE source_offset = 6"
    assert desk.rows(letters) == [(True, 2)]


def test_a_second_group_on_one_database_changes_nothing(desk: Desk) -> None:
    desk.feed(*EVERYTHING, *ALERTS)
    before = state(desk)
    desk.store = Store(desk.engine, desk.settings.model_copy(update={"consumer_group": "another"}))
    desk.feed(*EVERYTHING, *ALERTS)
    [(read,)] = desk.rows("SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions'")
    assert read == len(EVERYTHING)
    desk.rows("DELETE FROM consumer_offsets WHERE group_id = 'another'")
    assert state(desk) == before


def test_a_batch_of_a_moved_partition_is_rejected_whole(desk: Desk) -> None:
    desk.feed(BURST[0])
    stale = Batch(spans={("transactions", 0): Span(0, 1, 1)})
    with pytest.raises(Fenced):
        desk.store.write(stale)
    with pytest.raises(Fenced):
        desk.store.write(Batch(spans={("transactions", 0): Span(1, 2, 1), ("transactions", 1): Span(7, 8, 1)}))
    assert desk.rows("SELECT next_offset, records_read FROM consumer_offsets WHERE partition_no = 0") == [(1, 1)]


BAD_VALUES = {
    "JSON that is cut off": b'{"transaction_id": ',
    "a JSON array": b"[1, 2]",
    "amount: missing": orjson.dumps({"transaction_id": "x", "currency": "BRL", "event_time": T0_MS}),
    "an amount above 0": orjson.dumps({"transaction_id": "x", "amount": -5, "currency": "BRL", "event_time": T0_MS}),
    "a JSON number is expected": orjson.dumps(
        {"transaction_id": "x", "amount": "5,00", "currency": "BRL", "event_time": T0_MS}
    ),
    "ISO 4217": orjson.dumps({"transaction_id": "x", "amount": 5, "currency": "XXQ", "event_time": T0_MS}),
    "transaction_id: at most 255": orjson.dumps(
        {"transaction_id": "x" * 256, "amount": 5, "currency": "BRL", "event_time": T0_MS}
    ),
    "the value is null": None,
    "is above the limit of 1,048,576": b'{"transaction_id": "' + b"x" * 5_242_880 + b'"}',
}


def test_bad_records_are_kept_whole_with_their_reason(desk: Desk) -> None:
    records = [Record("transactions", 1, n, b"A", value) for n, value in enumerate(BAD_VALUES.values())]
    good = Record("transactions", 1, len(records), b"A", transaction(0, "t1", "A", 5, T0_MS).value)
    assert desk.feed(*records, good) == len(records)
    rows = desk.rows("SELECT reason, raw_value, raw_key FROM dead_letters ORDER BY source_offset")
    for (reason, raw, key), (wanted, value) in zip(rows, BAD_VALUES.items(), strict=True):
        assert wanted in str(reason)
        assert (None if raw is None else bytes(raw)) == value  # type: ignore[call-overload]
        assert bytes(key) == b"A"  # type: ignore[call-overload]
    assert desk.rows("SELECT transaction_id FROM transactions") == [("t1",)]


def test_an_alert_on_the_longest_ids_finds_its_transaction(desk: Desk) -> None:
    """Three bytes for each UTF-16 unit: the index of Postgres takes them too."""
    longest, account = "\u20ac" * 255, "\u20bf" * 255
    desk.feed(transaction(0, longest, account, 4_000, T0_MS), high_amount(0, longest, account, 4_000, T0_MS))
    desk.feed(high_velocity(1, account, T0_MS, [longest], 4_000))
    assert desk.rows("SELECT count(*), count(outcome) FROM fraud_alerts") == [(2, 2)]
    assert desk.rows("SELECT count(*) FROM alert_transactions") == [(2,)]


EVERYTHING: Sequence[Record] = [
    *BURST,
    transaction(6, "big", "B", 5_000, T0_MS + 500),
    transaction(7, "t3", "A", 1, T0_MS),
    Record("transactions", 0, 8, b"A", b"{"),
    transaction(9, "b2", "B", 50, T0_MS + 90_000),
]
ALERTS: Sequence[Record] = [
    *GROWING,
    high_amount(3, "big", "B", 5_000, T0_MS + 500),
    Record("fraud_alerts", 0, 4, b"A", b"null"),
    Record("fraud_alerts", 0, 5, GROWING[1].key, GROWING[1].value),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.booleans(), min_size=16, max_size=16), cuts=st.sets(st.integers(1, 15), max_size=8))
def test_order_and_batching_change_nothing(desk: Desk, order: list[bool], cuts: set[int]) -> None:
    """Any interleaving of the two topics, cut into any batches, ends in the same rows."""
    wanted = getattr(desk, "wanted", None)
    if wanted is None:
        desk.feed(*EVERYTHING)
        desk.feed(*ALERTS)
        wanted = state(desk)
        desk.wanted = wanted  # type: ignore[attr-defined]
    empty(desk)
    transactions, alerts = list(EVERYTHING), list(ALERTS)
    mixed = []
    for from_alerts in order:
        source = (alerts or transactions) if from_alerts else (transactions or alerts)
        mixed.append(source.pop(0))
    start = 0
    for end in [*sorted(cuts), len(mixed)]:
        desk.feed(*mixed[start:end])
        start = end
    assert state(desk) == wanted


def empty(desk: Desk) -> None:
    desk.rows(
        "TRUNCATE transactions, transaction_records, fraud_alerts, alert_handling, alert_notes,"
        " alert_transactions, alert_versions, alerts_to_check, decisions,"
        " dead_letters, outbox, consumer_offsets, lists"
    )
