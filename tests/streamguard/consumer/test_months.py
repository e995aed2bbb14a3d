"""The record of each payment stands in the month of its event, whichever that is and whoever makes the table."""

from __future__ import annotations

import random
import threading
from datetime import datetime, timezone

import orjson
import pytest
from psycopg2.errors import CheckViolation
from sqlalchemy import text

from streamguard.consumer.records import Batch
from streamguard.consumer.store import Store
from streamguard.models.fields import MIN_TIME_MS
from tests.support.desk import Desk
from tests.support.records import Record, transaction, transaction_value

WHERE = "SELECT tableoid::regclass::TEXT FROM transaction_records WHERE transaction_id = %s"
MONTHS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'transaction_records'::regclass"


def at(text: str) -> int:
    """Epoch milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1000)


@pytest.mark.parametrize(
    ("instant", "month"),
    [
        ("2018-04-01T00:00:00", "2018_04"),
        ("2018-04-30T23:59:59.999", "2018_04"),
        ("2024-02-29T12:00:00", "2024_02"),
        ("2025-12-31T23:59:59.999", "2025_12"),
        ("2026-01-01T00:00:00", "2026_01"),
        ("2000-01-01T00:00:00", "2000_01"),
        ("2049-12-31T23:59:59.999", "2049_12"),
        ("1973-04-01T00:00:00", "early"),
        ("1999-12-31T23:59:59.999", "early"),
        ("2050-01-01T00:00:00", "late"),
        ("9999-12-31T23:59:59.999", "late"),
    ],
)
def test_each_instant_has_its_month(desk: Desk, instant: str, month: str) -> None:
    at_ms = min(at(instant), 253_402_300_799_999)
    desk.feed(transaction(0, "a", "A", 1, at_ms), transaction(1, "b", "A", 1, at("2026-06-15T00:00:00")))
    desk.feed(transaction(2, "late", "A", 1, at_ms))
    assert desk.rows(WHERE, "a") == desk.rows(WHERE, "late") == [(f"transaction_records_{month}",)]
    assert desk.rows(WHERE, "b") == [("transaction_records_2026_06",)]
    assert desk.rows(MONTHS) == [(2,)]


def test_a_record_has_the_very_instant_of_its_row(desk: Desk) -> None:
    """Or the two would not be found together."""
    chosen = random.Random(3)
    day_ms = at("1974-01-01T00:00:00")
    odd = [day_ms, day_ms + 1, day_ms + 59_999, day_ms + 60_000, day_ms + 86_399_999, 253_402_300_799_999, MIN_TIME_MS]
    times_ms = odd + [chosen.randrange(MIN_TIME_MS, 2_000_000_000_000) for _ in range(500)]
    desk.feed(*[transaction(n, f"t{n}", "A", 1, at_ms) for n, at_ms in enumerate(times_ms)])
    joined = "SELECT count(*) FROM transactions JOIN transaction_records USING (event_time, transaction_id)"
    assert desk.rows(joined) == [(len(times_ms),)]


def test_a_stream_of_nonsense_makes_no_table_per_record(desk: Desk) -> None:
    """Every month of 1974 to 2199 in one batch: all are stored, the far ones together."""
    months = [f"{year}-{month:02d}-03T04:05:06" for year in range(1974, 2200) for month in range(1, 13)]
    assert desk.feed(*[transaction(n, f"t{n}", "A", 1, at(month)) for n, month in enumerate(months)]) == 0
    assert desk.rows(MONTHS) == [(50 * 12 + 2,)]
    assert desk.rows("SELECT count(*) FROM transaction_records") == [(len(months),)]


def test_two_members_make_the_same_months_at_once(desk: Desk) -> None:
    """Each with its own partition and payments, both with all months, in opposite order of time."""
    stores = [desk.store, Store(desk.engine, desk.settings)]
    months = [f"20{year}-{month:02d}-03T04:05:06" for year in range(18, 24) for month in range(1, 13)]
    batches: list[list[Batch]] = []
    for number, store in enumerate(stores):
        chosen = months if number else months[::-1]
        batches.append([])
        expected = store.offsets([("transactions", number)])["transactions", number]
        for offset, month in enumerate(chosen):
            value = orjson.dumps(transaction_value(f"t{number}-{offset}", "A", 1, at(month)))
            batch = Batch()
            desk.decoder.add(batch, expected + offset, [Record("transactions", number, offset, b"A", value)])
            batches[-1].append(batch)
    failed: list[BaseException] = []
    together = threading.Barrier(2)

    def write(store: Store, mine: list[Batch]) -> None:
        try:
            for batch in mine:
                together.wait(timeout=20)
                store.write(batch)
        except BaseException as error:
            failed.append(error)
            together.abort()

    threads = [threading.Thread(target=write, args=pair) for pair in zip(stores, batches, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert desk.rows(MONTHS) == [(len(months),)]
    assert desk.rows("SELECT count(*) FROM transaction_records") == [(2 * len(months),)]


def test_a_batch_that_fails_leaves_no_month_behind(desk: Desk) -> None:
    desk.rows("ALTER TABLE transactions ADD CONSTRAINT odd CHECK (city IS DISTINCT FROM 'Nowhere')")
    with pytest.raises(CheckViolation, match="odd"):
        desk.feed(transaction(0, "a", "A", 1, at("2018-04-01T00:00:00"), city="Nowhere"))
    assert desk.rows(MONTHS) == [(0,)]
    assert desk.feed(transaction(0, "a", "A", 1, at("2018-04-01T00:00:00"))) == 0
    assert desk.rows(MONTHS) == [(1,)]


def test_a_long_reader_keeps_nobody_from_a_new_month(desk: Desk) -> None:
    desk.feed(transaction(0, "a", "A", 1, at("2018-04-01T00:00:00")))
    with desk.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM transaction_records"))
        writer = threading.Thread(target=desk.feed, args=(transaction(1, "b", "A", 1, at("2018-05-01T00:00:00")),))
        writer.start()
        writer.join(timeout=10)
        assert not writer.is_alive()
    assert desk.rows(MONTHS) == [(2,)]
