"""What the consumer counts of batches that it stores: each of them once, and no text of a record."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.consumer.loop import Consumer
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.store import Store
from streamguard.metrics.consumer import OTHER, ConsumerMetrics, kind_of
from streamguard.models import Transaction
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(metrics: ConsumerMetrics) -> Samples:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_rows_decisions_and_dead_letters_are_counted_once(desk: Desk) -> None:
    metrics = ConsumerMetrics(["HIGH_AMOUNT"])
    publisher = Publisher(desk.engine, desk.settings.kafka_bootstrap_servers, "test")
    store = Store(desk.engine, desk.settings)
    consumer = Consumer(desk.settings, store, publisher, threading.Event(), metrics=metrics)
    records: dict[tuple[str, int], list[Record]] = {
        ("transactions", 0): [transaction(n, f"t{n}", "A", 4_000, T0_MS + n) for n in range(4)]
        + [transaction(4, "t5", "A", -1, T0_MS), transaction(5, "t0", "A", 4_000, T0_MS)],
        ("fraud_alerts", 0): [high_amount(n, f"t{n}", "A", 4_000, T0_MS + n) for n in range(3)],
    }
    consumer.store_records(store.offsets(records), records)
    found = samples(metrics)
    assert found["streamguard_consumer_records_stored_total", ("transaction",)] == 4
    assert found["streamguard_consumer_records_stored_total", ("alert",)] == 3
    assert found["streamguard_consumer_dead_letters_total", ("transactions", "amount")] == 1
    assert found["streamguard_consumer_dead_letters_total", ("transactions", "repeated id")] == 1
    decided = {key[1]: count for key, count in found.items() if key[0] == "streamguard_consumer_decisions_total"}
    assert sum(decided.values()) == 3 and {rule for rule, _ in decided} == {"HIGH_AMOUNT"}
    assert found["streamguard_consumer_event_to_decision_seconds_count", ()] == 3
    assert found["streamguard_consumer_event_to_row_seconds_count", ()] >= 4
    assert found["streamguard_consumer_batch_records_sum", ()] == 9
    assert 0 < found["streamguard_consumer_last_stored_timestamp_seconds", ()] <= time.time()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("amount: an amount above 0 is expected (got -1)", "amount"),
        ("the record has no key: it has to be the account id", "key"),
        ("transaction_id t1 was stored before, from partition 0 offset 1", "repeated id"),
        ("the record batch is corrupt", "corrupt batch"),
        ("not JSON: unexpected end of data", "no JSON"),
        ("something new", OTHER),
    ],
)
def test_reasons_by_kind(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


@given(st.text(), st.text(), st.text())
def test_labels_are_few_whatever_records_say(topic_text: str, reason: str, rule: str) -> None:
    metrics = ConsumerMetrics(["HIGH_AMOUNT"])
    metrics.dead("transactions", reason)
    metrics.dead("transactions", f"{topic_text}: {reason}")
    metrics.decided(rule, "review", None, 0.0)
    kinds = {kind_of(text) for text in ("x",)} | set(Transaction.model_fields)
    kinds |= {"corrupt batch", "key", "repeated id", "rejected by the database", "no JSON"}
    for (name, labels), _ in samples(metrics).items():
        if name == "streamguard_consumer_dead_letters_total":
            assert labels[1] in kinds
        if name == "streamguard_consumer_decisions_total":
            assert labels[0] in ("HIGH_AMOUNT", OTHER)
