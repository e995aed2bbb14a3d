"""A database that an earlier version made comes up with all its rows, and ends with the schema of a new one.

`version_0.sql.gz` is a dump of the last version before migrations were numbered, made by it: 400 transactions, alerts, one
of them without its transaction, decisions of rules and analysts, lists, a rule in shadow, dead letters.
"""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from streamguard.config import load_settings
from streamguard.config.resources import schema_file
from streamguard.consumer.records import Batch, Decoder
from streamguard.consumer.store import Store
from streamguard.database import NewerSchema, SchemaChange, apply_schema, make_engine
from streamguard.database.migrations import all_migrations
from streamguard.stack.postgres import client_program
from streamguard.users import audit, audit_chain
from tests.support.postgres import EmbeddedPostgres
from tests.support.records import Record, transaction

DUMP = Path(__file__).with_name("version_0.sql.gz")
LATEST = len(all_migrations())

CATALOG = {
    "columns": "SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable, column_default,"
    " is_identity, col_description((quote_ident(table_name))::regclass, ordinal_position) FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "constraints": "SELECT conrelid::regclass::TEXT, contype, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3",
    "indexes": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    "comments": "SELECT relname, obj_description(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND obj_description(oid) IS NOT NULL ORDER BY 1",
    "functions": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "versions": "SELECT version, name FROM schema_version ORDER BY 1",
}


def restore(postgres: EmbeddedPostgres) -> None:
    """Make the database of version 0 with its rows."""
    address = load_settings(database_url=postgres.url()).database
    environment = address.libpq_environment
    command = [client_program("psql", address), "--quiet", "--set=ON_ERROR_STOP=1", "--no-psqlrc"]
    subprocess.run(command, input=gzip.decompress(DUMP.read_bytes()), env=environment, check=True, capture_output=True)


@pytest.fixture
def engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    made = make_engine(load_settings(database_url=postgres.url()))
    yield made
    made.dispose()


def catalog(postgres: EmbeddedPostgres) -> dict[str, list[tuple[Any, ...]]]:
    """The schema as Postgres knows it, without the months of raw records."""
    return {
        name: [row for row in postgres.query(statement) if "transaction_records_2" not in str(row[0])]
        for name, statement in CATALOG.items()
    }


def test_both_ends_are_equal(postgres: EmbeddedPostgres, engine: Engine) -> None:
    """A new database has what an old one has after its migrations: columns, constraints, indexes, comments, functions."""
    assert apply_schema(engine) == SchemaChange(None, LATEST)
    new = catalog(postgres)
    postgres.wipe()
    restore(postgres)
    change = apply_schema(engine)
    assert (change.before, change.after) == (0, LATEST)
    assert catalog(postgres) == new


def test_the_file_for_docker_is_the_schema_of_a_new_database(postgres: EmbeddedPostgres, engine: Engine) -> None:
    """Docker's Postgres runs it by psql; the application then finds nothing to do."""
    address = load_settings(database_url=postgres.url()).database
    environment = address.libpq_environment
    command = [
        client_program("psql", address),
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--no-psqlrc",
        "--file",
        str(schema_file()),
    ]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert apply_schema(engine) == SchemaChange(LATEST, LATEST)


BEFORE = {
    "transactions": "SELECT to_jsonb(t) FROM transactions t ORDER BY transaction_id",
    "records": "SELECT to_jsonb(r) FROM transaction_records r ORDER BY transaction_id",
    "alerts": "SELECT to_jsonb(a) FROM fraud_alerts a ORDER BY alert_id",
    "links": "SELECT to_jsonb(l) FROM alert_transactions l ORDER BY alert_id, transaction_id",
    "modes": "SELECT to_jsonb(m) FROM rule_modes m ORDER BY rule",
    "offsets": "SELECT to_jsonb(o) FROM consumer_offsets o ORDER BY group_id, topic, partition_no",
    "profile": "SELECT to_jsonb(p) - 'average_amount' FROM account_risk_profile p ORDER BY account_id",
}
"""Tables whose columns stay; a migration may add some."""


def rows_of(postgres: EmbeddedPostgres, like: dict[str, list[dict[str, Any]]] | None = None) -> dict[str, Any]:
    """The rows of all of them, reduced to the columns of `like` where that is given."""
    found = {name: [row for (row,) in postgres.query(statement)] for name, statement in BEFORE.items()}
    if like is None:
        return found
    return {name: [{key: row[key] for key in like[name][0]} for row in rows] for name, rows in found.items()}


def test_every_row_is_kept(postgres: EmbeddedPostgres, engine: Engine) -> None:
    restore(postgres)
    same = rows_of(postgres)
    decided = postgres.query(
        "SELECT alert_id, tx_count, decided_by, action_no, outcome, score, reason, decided_at, evidence ->> 'before'"
        " FROM decisions WHERE outcome IS NOT NULL ORDER BY 1, 2, 3, 4"
    )
    versions = postgres.query(
        "SELECT alert_id, tx_count, transaction_id, evidence, outcome IS NOT NULL FROM decisions"
        " WHERE decided_by = 'rules' ORDER BY 1, 2"
    )
    lists = postgres.query(
        "SELECT 'blacklist', kind, value, reason, expires_at, created_at FROM blacklist UNION ALL"
        " SELECT 'allowlist', kind, value, reason, expires_at, created_at FROM allowlist ORDER BY 1, 2, 3"
    )
    dead = postgres.query("SELECT source_topic, source_offset, reason, raw_value FROM dead_letters ORDER BY 1, 2")
    assert len(same["transactions"]) == 400 and len(decided) > 40 and len(lists) == 3 and len(dead) == 3

    names = ", ".join(migration.name for migration in all_migrations())
    assert str(apply_schema(engine)) == f"schema migrated from 0 to {LATEST} ({names})"
    for _ in range(2):
        assert rows_of(postgres, same) == same
        assert decided == postgres.query(
            "SELECT alert_id, tx_count, decided_by, action_no, outcome, score, reason, decided_at, status_before"
            " FROM decisions ORDER BY 1, 2, 3, 4"
        )
        assert versions == postgres.query(
            "SELECT alert_id, tx_count, transaction_id, evidence, judged FROM alert_versions ORDER BY 1, 2"
        )
        assert sum(not judged for *_, judged in versions) == 1
        assert lists == postgres.query(
            "SELECT list, kind, value, reason, expires_at, created_at FROM lists ORDER BY list, kind, value"
        )
        assert postgres.query("SELECT list, kind, value, change FROM list_history ORDER BY 1, 2, 3") == [
            (*entry[:3], "add") for entry in lists
        ]
        assert dead == postgres.query(
            "SELECT source_topic, source_offset, reason, raw_value FROM dead_letters ORDER BY 1, 2"
        )
        verdicts = postgres.query("SELECT v ? 'points', v ? 'score' FROM decisions, jsonb_array_elements(verdicts) v")
        assert set(verdicts) == {(True, False)}
        assert postgres.query("SELECT count(*) FROM outbox") == [(0,)]
        assert apply_schema(engine) == SchemaChange(LATEST, LATEST), "a second start changes nothing"


def test_a_migrated_database_goes_on(postgres: EmbeddedPostgres, engine: Engine) -> None:
    """The version that waited for its transaction is judged when that is stored."""
    restore(postgres)
    apply_schema(engine)
    settings = load_settings(database_url=postgres.url(), consumer_group="later")
    store, decoder = Store(engine, settings), Decoder(settings)
    late = transaction(0, "never", "ACC-W", 4_000, 1_700_000_000_000)
    record = Record("transactions", 9, 0, late.key, late.value)
    positions = store.offsets([("transactions", 9)])
    batch = Batch()
    decoder.add(batch, positions["transactions", 9], [record])
    store.write(batch)
    assert postgres.query("SELECT outcome FROM fraud_alerts WHERE alert_id = 'HIGH_AMOUNT:never'") == [("review",)]
    assert postgres.query("SELECT count(*) FROM alert_versions WHERE NOT judged") == [(0,)]
    assert postgres.query("SELECT topic FROM outbox") == [("decisions",)]


def test_what_was_not_published_waits_in_the_outbox(postgres: EmbeddedPostgres, engine: Engine) -> None:
    restore(postgres)
    postgres.query("UPDATE dead_letters SET published = FALSE, raw_value = decode(repeat('00ff', 99), 'hex')")
    apply_schema(engine)
    from streamguard.models import DeadLetter

    values = postgres.query("SELECT topic, value FROM outbox ORDER BY record_no")
    letters = [DeadLetter.from_json(bytes(value)) for _, value in values]
    assert {topic for topic, _ in values} == {"dead_letters"} and len(letters) == 3
    assert {letter.value for letter in letters} == {b"\x00\xff" * 99}


def test_a_newer_database_is_rejected(postgres: EmbeddedPostgres, engine: Engine) -> None:
    apply_schema(engine)
    postgres.query("INSERT INTO schema_version (version, name) VALUES (%s, 'later')", LATEST + 1)
    with pytest.raises(NewerSchema, match=f"schema {LATEST + 1}, this version of StreamGuard knows {LATEST}"):
        apply_schema(engine)


def test_a_migration_that_fails_changes_nothing(
    postgres: EmbeddedPostgres, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(postgres)
    before = {name: postgres.query(statement) for name, statement in CATALOG.items() if name != "versions"}
    for migration in all_migrations():
        (tmp_path / migration.file.name).write_text(migration.file.read_text())
    (tmp_path / f"{LATEST + 1:04}_wrong.sql").write_text("DROP TABLE lists; SELECT 1 / 0;")
    monkeypatch.setattr("streamguard.database.migrations.migration_files", lambda: sorted(tmp_path.iterdir()))
    with pytest.raises(Exception, match="division by zero"):
        apply_schema(engine)
    after = {name: postgres.query(statement) for name, statement in CATALOG.items() if name != "versions"}
    assert after == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "2_b.sql"], "2_b.sql: a migration is named"),
        (["0001_a.sql", "0003_b.sql"], "without gaps"),
        (["0001_a.sql", "0001_b.sql"], "without gaps"),
    ],
)
def test_misnamed_migrations_are_an_error(
    names: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr("streamguard.database.migrations.migration_files", lambda: sorted(tmp_path.iterdir()))
    with pytest.raises(ValueError, match=message):
        all_migrations()


def test_an_alert_on_a_refused_transaction_of_before_is_settled(postgres: EmbeddedPostgres, engine: Engine) -> None:
    """Dead letters get the ids that can be read from their bytes; the alert that waits for one is refused."""
    restore(postgres)
    values = {
        10: (b"ACC-W", b'{"TRANSACTION_ID": "never", "amount": -1}'),
        11: (b"\xff", b'{"transaction_id": 12, "TRANSACTION_id": "x"}'),
        12: (b"A", b"{"),
        13: (b"A", b'["never"]'),
        14: (None, b'{"transaction_id": "' + b"x" * 2_001 + b'"}'),
    }
    insert = "INSERT INTO dead_letters (source_topic, source_partition, source_offset, reason, raw_key, raw_value)"
    for offset, (key, value) in values.items():
        postgres.query(f"{insert} VALUES ('transactions', 0, %s, 'bad', %s, %s)", offset, key, value)
    postgres.query(f"{insert} VALUES ('fraud_alerts', 0, 10, 'bad', 'A', %s)", b'{"transaction_id": "never"}')
    apply_schema(engine)
    found = postgres.query(
        "SELECT source_offset, transaction_id, account_id FROM dead_letters WHERE reason = 'bad' ORDER BY source_topic, 1"
    )
    assert found == [
        (10, None, None),
        (10, "never", "ACC-W"),
        (11, "12", None),
        (12, None, "A"),
        (13, None, "A"),
        (14, None, None),
    ]
    assert Store(engine, load_settings(database_url=postgres.url())).settle_waiting() == 1
    assert postgres.query("SELECT outcome FROM fraud_alerts WHERE alert_id = 'HIGH_AMOUNT:never'") == [("refused",)]


def test_the_rows_of_the_audit_log_of_before_are_chained(postgres: EmbeddedPostgres, engine: Engine) -> None:
    restore(postgres)
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        for migration in all_migrations()[:14]:
            cursor.execute(migration.file.read_text(encoding="utf-8"))
        for number in range(3):
            audit.note(connection, "ana", "alerts.note", f"alert {number}", after={"n": number})
        cursor.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        cursor.execute("INSERT INTO schema_version VALUES (14, 'webhooks')")
    apply_schema(engine)
    with engine.begin() as connection:
        assert (chain := audit_chain.verify(connection)).entries == 3 and not chain.faults
        audit.note(connection, "ana", "alerts.note", "alert 3")
    with engine.begin() as connection:
        assert (chain := audit_chain.verify(connection)).entries == 4 and not chain.faults
        connection.execute(text("UPDATE audit_log SET done_by = 'eve' WHERE entry_no = 1"))
        assert len(audit_chain.verify(connection).faults) == 1
