"""What is read, what is left out, and in which order lists and transactions meet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Request
from streamguard.backtest.records import batches, facts_of
from streamguard.backtest.topic import read
from streamguard_ksql.operators.record import InputRecord
from tests.streamguard.backtest.conftest import START_MS, Bench, Payment, payments, send

LOWER = Request(define={"velocity_count": "2"})


def at(topic: str, offset: int, time: int) -> InputRecord:
    return InputRecord(topic, 0, offset, b"k", b"v", time)


def test_rows_of_tables_are_there_for_what_was_written_after_them() -> None:
    transactions = [at("transactions", number, number * 10) for number in range(5)]
    others = [at("blacklist", 0, 5), at("labels", 0, 15), at("blacklist", 1, 20), at("labels", 1, 99)]
    found = [
        [(record.topic, record.offset) for record in batch] for batch in batches(transactions, others, {"blacklist"})
    ]
    assert found == [
        [("transactions", 0)],
        [("blacklist", 0)],
        [("transactions", 1), ("labels", 0)],
        [("blacklist", 1)],
        [("transactions", 2), ("transactions", 3), ("transactions", 4), ("labels", 1)],
    ]


def value(**changes: Any) -> dict[str, Any]:
    usual = {"transaction_id": "t", "account_id": "A", "amount": 5, "currency": "EUR", "event_time": START_MS}
    return {**usual, **changes}


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        (value(), True),
        (value(amount="5.00"), True),
        ({name.upper(): found for name, found in value().items()}, True),
        (value(currency="eur"), True),
        (value(latitude=10, longitude=20.5, country="KE"), True),
        (value(latitude=91), False),
        (value(country="Kenya"), False),
        (value(currency="XXX"), False),
        (value(amount=0), False),
        (value(account_id="B"), False),
        (value(transaction_id=""), False),
        (value(event_time="now"), False),
        (value(event_time=5), False),
    ],
)
def test_the_facts_of_a_transaction_are_those_of_the_consumer(fields: dict[str, Any], stored: bool) -> None:
    found = facts_of(InputRecord("transactions", 0, 0, b"A", json.dumps(fields).encode(), START_MS))
    assert (found is not None) == stored
    if found is not None:
        assert (found.transaction_id, found.event_time) == ("t", START_MS)


def produce(bench: Bench, topic: str, key: str, fields: object, time: int) -> None:
    producer = Producer({"bootstrap.servers": bench.servers, "partitioner": "murmur2_random"})
    producer.produce(topic, orjson.dumps(fields), key, timestamp=time)
    assert producer.flush(30) == 0


def pay(bench: Bench, number: int, *, event_time: int, written: int) -> None:
    payment: Payment = value(transaction_id=f"t{number}", event_time=event_time)
    produce(bench, "transactions", "A", payment, written)


def test_what_was_ahead_of_its_time_is_left_out_and_what_is_not_valid_too(topic_bench: Bench) -> None:
    hour_ms = 3_600_000
    pay(topic_bench, 1, event_time=START_MS, written=START_MS)
    # By now this time has come; when it was written it would have closed every window.
    pay(topic_bench, 2, event_time=START_MS + 2 * hour_ms, written=START_MS + 1)
    produce(topic_bench, "transactions", "A", {"no": "transaction"}, START_MS + 2)
    for number in (3, 4):
        pay(topic_bench, number, event_time=START_MS + number, written=START_MS + number)
    found = topic_bench.run(LOWER)
    assert found["read"]["left_out"] == {"ahead of its time": 1, "not valid": 1}
    assert [alert["b"]["tx_count"] for alert in found["alerts"]["gained"]] == [3]


def test_a_list_entry_counts_from_when_it_was_written(topic_bench: Bench) -> None:
    pay(topic_bench, 1, event_time=START_MS, written=START_MS)
    produce(topic_bench, "blacklist", "account:A", {"reason": "stolen"}, START_MS + 1_000)
    # Its event time is before the entry's, and it came after it.
    pay(topic_bench, 2, event_time=START_MS + 10, written=START_MS + 2_000)
    found = topic_bench.run(Request(modes=["BLACKLISTED=off"]))
    assert [alert["alert_id"] for alert in found["alerts"]["lost"]] == ["BLACKLISTED:t2"]


def test_a_warm_up_begins_so_long_before_the_range(topic_bench: Bench) -> None:
    minute_ms = START_MS // 60_000 * 60_000
    for number, at_s in enumerate((0, 30, 50)):
        time = minute_ms + at_s * 1_000
        pay(topic_bench, number, event_time=time, written=time)
    in_range = replace(LOWER, from_ms=minute_ms + 50_000)
    assert len(topic_bench.run(in_range)["alerts"]["gained"]) == 1
    found = topic_bench.run(replace(in_range, warm_up_ms=50_000))
    assert len(found["alerts"]["gained"]) == 1
    found = topic_bench.run(replace(in_range, warm_up_ms=25_000))
    assert found["alerts"]["gained"] == []
    assert (found["read"]["transactions"], found["read"]["left_out"]) == (2, {"before the warm-up": 1})


def test_records_that_are_gone_are_a_sentence(topic_bench: Bench) -> None:
    by_partition = send(topic_bench.servers, payments(100))
    spec = topic_bench.spec(LOWER)
    admin = AdminClient({"bootstrap.servers": topic_bench.servers})
    number = next(number for number, sent in enumerate(by_partition) if sent)
    for future in admin.delete_records([TopicPartition("transactions", number, 1)]).values():
        future.result(20)
    with pytest.raises(BacktestError, match="are gone: the topic keeps records for a limited time"):
        execute(spec, topic_bench.servers)


def test_a_part_of_a_partition_is_read(topic_bench: Bench) -> None:
    sent = [value(transaction_id=f"t{number}") for number in range(20)]
    by_partition = send(topic_bench.servers, sent)
    number = next(number for number, found in enumerate(by_partition) if found)
    records = [record for batch in read(topic_bench.servers, "transactions", number, 3, 7) for record in batch]
    assert [orjson.loads(record.value or b"")["transaction_id"] for record in records] == ["t3", "t4", "t5", "t6"]
