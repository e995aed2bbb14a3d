"""What the consumer keeps of each minute: each record once, whatever happens on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.config.resources import packaged_sql
from streamguard.consumer.loop import Consumer
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.records import Batch
from streamguard.consumer.store import Fenced, Store
from streamguard.quality.minutes import AGES_S, FIELDS, GRACE_MS, OLDER, Counts, late_ones
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

TOTALS = (
    "SELECT topic, sum(records)::INT, sum(dead_letters)::INT, sum(duplicates)::INT, sum(late)::INT"
    " FROM quality_minutes GROUP BY topic ORDER BY topic"
)
FILLED = "SELECT key, sum(value::INT)::INT FROM quality_minutes, jsonb_each_text(filled) GROUP BY key ORDER BY key"


def at(partition: int, record: Record) -> Record:
    return Record(record.topic, partition, record.offset, record.key, record.value)


def test_a_batch_is_counted_by_topic(desk: Desk) -> None:
    desk.feed(
        transaction(0, "t0", "A", 10, T0_MS, channel="app", city="", latitude=0.0),
        transaction(1, "t1", "A", 4_000, T0_MS + 1, channel="app", city="Natal"),
        transaction(2, "t0", "A", 10, T0_MS + 2, channel="app"),
        transaction(3, "t3", "A", -1, T0_MS + 3),
        high_amount(0, "t1", "A", 4_000, T0_MS),
    )
    assert desk.rows(TOTALS) == [("fraud_alerts", 1, 0, 0, 0), ("transactions", 4, 2, 1, 0)]
    assert desk.rows(FILLED) == [("channel", 2), ("city", 1), ("latitude", 1)]


def test_minutes_grow_and_members_have_rows_of_their_own(desk: Desk) -> None:
    for offset in range(3):
        desk.feed(transaction(offset, f"t{offset}", "A", 10, T0_MS, channel="app"))
        desk.feed(at(2, transaction(offset, f"u{offset}", "B", 10, T0_MS)))
    assert desk.rows(TOTALS) == [("transactions", 6, 0, 0, 0)]
    assert {lane for (lane,) in desk.rows("SELECT lane FROM quality_minutes")} == {0, 2}
    assert desk.rows(FILLED) == [("channel", 3)]


def test_a_batch_that_was_not_committed_counts_for_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [transaction(0, "t0", "A", 10, T0_MS), transaction(1, "t1", "A", -1, T0_MS)]
    positions = desk.store.offsets([("transactions", 0)])
    batch = Batch()
    desk.decoder.add(batch, positions["transactions", 0], first)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # The last statement of the batch was sent; the process ends before the commit.
        patched.setattr("sqlalchemy.engine.base.Transaction.commit", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.store.write(batch)
    assert desk.rows(TOTALS) == []
    desk.feed(*first)
    assert desk.rows(TOTALS) == [("transactions", 2, 1, 0, 0)]
    with pytest.raises(Fenced):
        desk.store.write(batch)
    assert desk.rows(TOTALS) == [("transactions", 2, 1, 0, 0)]


def test_records_that_are_read_again_are_not_counted_again(desk: Desk) -> None:
    """The group was set back to the begin of the topic."""
    records = [transaction(0, "t0", "A", 10, T0_MS, channel="app"), transaction(1, "t1", "A", -1, T0_MS)]
    desk.feed(*records)
    desk.rows("UPDATE consumer_offsets SET next_offset = 0")
    desk.feed(*records, transaction(2, "t2", "A", 10, T0_MS, channel="app"))
    assert desk.rows(TOTALS) == [("transactions", 3, 1, 0, 0)]
    assert desk.rows(FILLED) == [("channel", 2)]


def test_late_is_what_a_window_does_not_take_any_more(desk: Desk) -> None:
    desk.feed(transaction(0, "t0", "A", 10, T0_MS), transaction(1, "t1", "A", 10, T0_MS + 60_000))
    # The partition's time is kept with its offset, so another process knows it.
    desk.store = Store(desk.engine, desk.settings)
    desk.feed(
        transaction(2, "t2", "A", 10, T0_MS + 60_000 - GRACE_MS),
        transaction(3, "t3", "A", 10, T0_MS + 60_000 - GRACE_MS - 1),
        at(1, transaction(0, "t4", "A", 10, T0_MS)),
    )
    assert desk.rows(TOTALS) == [("transactions", 5, 0, 0, 1)]


def test_a_topic_that_was_made_anew_begins_with_its_own_time(desk: Desk) -> None:
    desk.feed(*(transaction(n, f"t{n}", "A", 10, T0_MS + 10**9) for n in range(3)))
    batch = Batch()
    desk.decoder.add(batch, 3, [transaction(n, f"u{n}", "A", 10, T0_MS) for n in range(5)])
    desk.store.write(batch)
    assert desk.rows(TOTALS) == [("transactions", 8, 0, 0, 0)]
    assert desk.rows("SELECT newest_event_ms FROM consumer_offsets") == [(T0_MS,)]


def test_what_the_database_rejects_is_counted_once(desk: Desk) -> None:
    """The batch is halved until the record that is rejected is alone."""
    desk.rows("ALTER TABLE transactions ADD CONSTRAINT rejected CHECK (account_id <> 'X')")
    records = {("transactions", 0): [transaction(n, f"t{n}", "X" if n == 3 else "A", 10, T0_MS) for n in range(8)]}
    import threading

    consumer = Consumer(
        desk.settings, desk.store, Publisher(desk.engine, desk.settings.kafka, "test"), threading.Event()
    )
    consumer.store_records(desk.store.offsets(records), records)
    assert desk.rows(TOTALS) == [("transactions", 8, 1, 0, 0)]


anywhere = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
"""On a machine that is busy as well."""


@anywhere
@given(st.lists(st.integers(0, 200_000_000)), st.integers(0, 200_000_000))
def test_ages_are_those_of_each_record(times: list[int], now_ms: int) -> None:
    counts = Counts()
    counts.add_ages(times, now_ms)
    ages = [max(0, now_ms - time_ms) / 1_000 for time_ms in times]
    wanted: dict[str, int] = {}
    for age in ages:
        key = next((str(bound) for bound in AGES_S if age <= bound), OLDER)
        wanted[key] = wanted.get(key, 0) + 1
    assert counts.ages == wanted
    assert counts.age_sum_s == pytest.approx(sum(ages)) and counts.age_max_s == max(ages, default=0)


@anywhere
@given(st.lists(st.integers(0, 100_000), min_size=1), st.integers(0, 100_000))
def test_late_ones_are_those_of_one_after_the_other(times: Sequence[int], newest: int) -> None:
    late, latest = [], newest
    for position, time_ms in enumerate(times):
        latest = max(latest, time_ms)
        if time_ms < latest - GRACE_MS:
            late.append(position)
    assert late_ones(times, newest) == (late, latest)


@anywhere
@given(st.lists(st.tuples(*[st.none() | st.just("") | st.just("x") | st.just(0.0)] * len(FIELDS))))
def test_gaps_are_counted_by_field(rows: list[tuple[object, ...]]) -> None:
    counts = Counts()
    counts.add_filled({name: [row[n] for row in rows] for n, name in enumerate(FIELDS)})
    wanted = {name: sum(row[n] not in (None, "") for row in rows) for n, name in enumerate(FIELDS)}
    assert counts.filled == {name: there for name, there in wanted.items() if there}


def test_the_grace_is_that_of_the_rules() -> None:
    found = [
        int(seconds)
        for file in packaged_sql()
        for seconds in re.findall(r"GRACE PERIOD (\d+) SECONDS", file.read_text(encoding="utf-8"))
    ]
    assert found and {seconds * 1_000 for seconds in found} == {GRACE_MS}
