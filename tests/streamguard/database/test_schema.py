"""docker/init-db.sql is the truth; the SQLAlchemy map must say the same, and a second run must change nothing."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Inspector

from streamguard.config import load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.database.locks import Lock
from streamguard.database.migrations import all_migrations
from streamguard.database.tables import Base
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually


def _columns(inspector: Inspector, table: str) -> dict[str, tuple[str, bool]]:
    return {c["name"]: (str(c["type"]).upper(), bool(c["nullable"])) for c in inspector.get_columns(table)}


def _snapshot(url: str) -> dict[str, Any]:
    engine = create_engine(url)
    inspector = inspect(engine)
    found = {name: (_columns(inspector, name), inspector.get_indexes(name)) for name in inspector.get_table_names()}
    engine.dispose()
    return found


def test_the_map_and_the_file_agree(postgres: EmbeddedPostgres) -> None:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    inspector = inspect(engine)
    assert set(inspector.get_table_names()) == set(Base.metadata.tables)
    for name, table in Base.metadata.tables.items():
        mapped = {c.name: (c.type.compile(engine.dialect).upper(), bool(c.nullable)) for c in table.columns}
        stored = {
            c["name"]: (c["type"].compile(engine.dialect).upper(), bool(c["nullable"]))
            for c in inspector.get_columns(name)
        }
        assert mapped == stored, name
        assert [c.name for c in table.primary_key] == inspector.get_pk_constraint(name)["constrained_columns"], name
        wanted_keys = {(fk.parent.name, fk.target_fullname) for fk in table.foreign_keys}
        stored_keys = {
            (column, f"{key['referred_table']}.{referred}")
            for key in inspector.get_foreign_keys(name)
            for column, referred in zip(key["constrained_columns"], key["referred_columns"], strict=True)
        }
        assert wanted_keys == stored_keys, name
        # An identity is no default to the catalog.
        defaults = {c.name for c in table.columns if c.server_default is not None and c.identity is None}
        assert defaults == {c["name"] for c in inspector.get_columns(name) if c["default"] is not None}, name
    engine.dispose()


def test_a_second_run_changes_nothing_and_keeps_the_rows(postgres: EmbeddedPostgres) -> None:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    postgres.query("INSERT INTO lists (list, kind, value, reason) VALUES ('blacklist', 'account', 'A1', 'stolen card')")
    before = _snapshot(postgres.url())
    apply_schema(engine)
    engine.dispose()
    assert _snapshot(postgres.url()) == before
    assert postgres.query("SELECT value FROM lists") == [("A1",)]


def test_a_migration_beside_a_writer_is_no_deadlock(postgres: EmbeddedPostgres) -> None:
    """A batch takes its tables in another order than a migration does."""
    engine = make_engine(load_settings(database_url=postgres.url()))
    postgres.query(all_migrations()[0].file.read_text())
    failed: list[BaseException] = []

    def lay() -> None:
        try:
            apply_schema(engine)
        except BaseException as error:
            failed.append(error)

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with engine.begin() as writer:
        writer.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": int(Lock.STORE)})
        writer.execute(text("LOCK TABLE alert_transactions IN ROW EXCLUSIVE MODE"))
        layer = threading.Thread(target=lay)
        layer.start()
        eventually(lambda: postgres.query(waiting), lambda rows: rows == [(1,)], 10, "the migration waits")
        writer.execute(text("LOCK TABLE fraud_alerts IN ROW EXCLUSIVE MODE"))
    layer.join(timeout=20)
    engine.dispose()
    assert not failed


def test_the_risk_profile_counts_fraud_and_alerts(postgres: EmbeddedPostgres) -> None:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    engine.dispose()
    postgres.query(
        "INSERT INTO transactions (transaction_id, account_id, amount, currency, event_time, is_fraud,"
        " source_partition, source_offset) VALUES ('t1', 'A', 10, 'BRL', now(), true, 0, 0),"
        " ('t2', 'A', 20, 'BRL', now(), false, 0, 1), ('t3', 'A', 30, 'BRL', now(), false, 0, 2)"
    )
    postgres.query(
        "INSERT INTO fraud_alerts (alert_id, rule, account_id, tx_count, detected_at, source_partition, source_offset,"
        " status) VALUES ('a', 'HIGH_AMOUNT', 'A', 1, now(), 0, 0, 'open'),"
        " ('b', 'HIGH_VELOCITY', 'A', 1, now(), 0, 1, 'dismissed')"
    )
    profile = "SELECT transactions, total_amount, average_amount, fraud_transactions, fraud_rate, alerts"
    rows = postgres.query(profile + " FROM account_risk_profile WHERE account_id = 'A'")
    assert [tuple(map(float, row)) for row in rows] == [(3.0, 60.0, 20.0, 1.0, 0.3333, 1.0)]
