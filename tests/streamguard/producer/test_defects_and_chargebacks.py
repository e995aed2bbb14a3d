"""Bad records at the rates asked for, each bad in its own way; chargebacks after their delay."""

from __future__ import annotations

from collections import Counter
from random import Random
from statistics import median

import orjson
import pytest

from streamguard.models import BadRecord, Transaction
from streamguard.producer.chargebacks import (
    DAY_MS,
    MEDIAN_DELAY_DAYS,
    REPORTED_SHARE,
    TOPIC,
    delay_ms,
    with_chargebacks,
)
from streamguard.producer.defects import with_defects
from streamguard.producer.record import Record
from streamguard.producer.runs import Recipe, Run

NOW_MS = 1_790_000_000_000


def batch(count: int, **recipe: object) -> list[Record]:
    return list(Run(Recipe(seed=7, **recipe)).batch(count, None, None, NOW_MS))  # type: ignore[arg-type]


def is_bad(record: Record) -> bool:
    try:
        Transaction.from_record(record.value, record.key)
    except BadRecord:
        return True
    return False


def test_malformed_records_are_bad_and_no_others_are() -> None:
    records = batch(4000, bad={"malformed": 0.05})
    assert len(records) == 4000
    assert all(is_bad(record) == (record.defect == "malformed") for record in records)
    assert 140 < sum(record.defect == "malformed" for record in records) < 260


def test_each_way_to_spoil_a_value_comes_up() -> None:
    reasons: Counter[str] = Counter()
    for record in batch(3000, bad={"malformed": 0.5}):
        try:
            Transaction.from_record(record.value, record.key)
        except BadRecord as error:
            reasons[str(error).split(" (got")[0].split(": ")[0]] += 1
    assert {
        "UTF-16",
        "a JSON array",
        "the value is null",
        "amount",
        "transaction_id",
        "currency",
        "event_time",
        "latitude",
    } <= set(reasons)


def test_late_and_future_records_move_in_the_value_as_well() -> None:
    plain = {record.key + record.value[:60]: record for record in batch(2000) if record.value}
    for record in batch(2000, bad={"late": 0.1, "future": 0.1}):
        assert record.value is not None
        assert orjson.loads(record.value)["event_time"] == record.event_time
        moved_ms = record.event_time - plain[record.key + record.value[:60]].event_time
        if record.defect == "late":
            assert -DAY_MS <= moved_ms <= -3_600_000
        elif record.defect == "future":
            assert DAY_MS <= moved_ms <= 30 * DAY_MS
        else:
            assert moved_ms == 0


def test_duplicates_are_byte_for_byte_and_count() -> None:
    records = batch(2000, bad={"duplicated": 0.1})
    assert len(records) == 2000
    twins = [n for n, record in enumerate(records) if record.defect == "duplicated"]
    assert 130 < len(twins) < 250
    assert all(records[n].value == records[n - 1].value for n in twins)


def test_out_of_order_records_come_later_and_none_is_lost() -> None:
    plain = batch(2000)
    mixed = list(with_defects(plain, {"out_of_order": 0.05}, Random(1)))
    assert sorted(record.value or b"" for record in mixed) == sorted(record.value or b"" for record in plain)
    assert [r.event_time for r in mixed] != sorted(r.event_time for r in mixed)
    on_time = [record for record in mixed if not record.defect]
    assert [r.event_time for r in on_time] == sorted(r.event_time for r in on_time)


def test_defects_repeat_with_their_seed() -> None:
    rates = {"malformed": 0.1, "late": 0.1, "out_of_order": 0.1, "duplicated": 0.1, "future": 0.1}
    assert batch(1000, bad=rates) == batch(1000, bad=rates)


def test_chargebacks_follow_nine_in_ten_frauds_after_their_delay() -> None:
    payments = batch(20_000, fraud_share=0.2)
    records = list(with_chargebacks(payments, Random(1)))
    assert [record for record in records if not record.topic] == payments
    labels = [orjson.loads(record.value or b"") for record in records if record.topic == TOPIC]
    frauds = {orjson.loads(record.value or b"")["transaction_id"]: record.label for record in payments if record.label}
    reported = [label for label in labels if label["is_fraud"]]
    assert len(reported) / len(frauds) == pytest.approx(REPORTED_SHARE, abs=0.02)
    for label in reported:
        assert frauds[label["transaction_id"]] == label["reason"]
        assert label["reported_at"] > label["event_time"]
    assert [label["reported_at"] for label in labels] == sorted(label["reported_at"] for label in labels)


def test_half_of_the_chargebacks_come_within_the_median_delay() -> None:
    rng = Random(3)
    days = [delay_ms(rng) / DAY_MS for _ in range(5000)]
    assert abs(median(days) - MEDIAN_DELAY_DAYS) < 0.7
