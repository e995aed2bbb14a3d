"""What the database rejects is isolated: one record becomes a dead letter, its neighbours are stored."""

from __future__ import annotations

import threading

import pytest
from psycopg2 import ProgrammingError

from streamguard.consumer.loop import Consumer
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.store import Store
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction


def consumer_on(desk: Desk) -> Consumer:
    publisher = Publisher(desk.engine, desk.settings.kafka_bootstrap_servers, "test")
    return Consumer(desk.settings, Store(desk.engine, desk.settings), publisher, threading.Event())


def test_a_record_that_the_database_rejects_is_isolated(desk: Desk) -> None:
    desk.rows("ALTER TABLE transactions ADD CONSTRAINT odd CHECK (city IS DISTINCT FROM 'Nowhere')")
    consumer = consumer_on(desk)
    records: dict[tuple[str, int], list[Record]] = {
        ("transactions", 0): [
            transaction(n, f"t{n}", "A", 4_000, T0_MS + n, city="Nowhere" if n in (3, 7) else "Recife")
            for n in range(9)
        ],
        ("fraud_alerts", 0): [high_amount(n, f"t{n}", "A", 4_000, T0_MS + n) for n in range(9)],
    }
    consumer.store_records(desk.store.offsets(records), records)
    assert desk.rows("SELECT count(*) FROM transactions") == [(7,)]
    assert desk.rows("SELECT count(*) FROM fraud_alerts") == [(9,)]
    dead = desk.rows("SELECT source_topic, source_offset, reason FROM dead_letters ORDER BY 2")
    assert [(topic, offset) for topic, offset, _ in dead] == [("transactions", 3), ("transactions", 7)]
    assert "the database rejects it" in str(dead[0][2]) and "odd" in str(dead[0][2])
    assert desk.rows("SELECT topic, next_offset, records_read FROM consumer_offsets ORDER BY 1") == [
        ("fraud_alerts", 9, 9),
        ("transactions", 9, 9),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE transactions RENAME COLUMN city TO town",
        "ALTER TABLE fraud_alerts RENAME TO alerts",
        "DROP FUNCTION make_record_months",
        "CREATE TABLE transaction_records_2025_11 (transaction_id TEXT)",
    ],
)
def test_a_schema_that_does_not_fit_makes_no_record_dead(desk: Desk, damage: str) -> None:
    """It is nobody's data that is wrong: nothing is stored, nothing is given up."""
    records = {("transactions", 0): [transaction(n, f"t{n}", "A", 4_000, T0_MS + n) for n in range(9)]}
    positions = desk.store.offsets(records)
    desk.rows(damage)
    with pytest.raises(ProgrammingError):
        consumer_on(desk).store_records(positions, records)
    assert desk.rows("SELECT count(*) FROM dead_letters") == [(0,)]
    assert desk.rows("SELECT next_offset FROM consumer_offsets") == [(0,)]
