"""What the database refuses is isolated: one record is dead, its neighbours are stored."""

from __future__ import annotations

import threading

import pytest
from psycopg2 import ProgrammingError

from streamguard.config import load_settings
from streamguard.consumer.loop import Consumer
from streamguard.consumer.outbox import Outbox
from streamguard.consumer.store import Store
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction


def consumer_on(desk: Desk) -> Consumer:
    settings = load_settings(database_url=desk.postgres.url(), consumer_group="test")
    outbox = Outbox(desk.engine, settings.kafka_bootstrap_servers, settings.dead_letters_topic)
    return Consumer(settings, Store(desk.engine, "test"), outbox, threading.Event())


def test_a_record_that_the_database_refuses_stands_alone(desk: Desk) -> None:
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
    assert "the database refuses it" in str(dead[0][2]) and "odd" in str(dead[0][2])
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
