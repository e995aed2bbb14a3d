"""The schema of the database: `docker/init-db.sql` for a new one, numbered migrations for one that is there.

A migration is a file `NNNN_name.sql`; it runs once, forward, and is noted in `schema_version`. A database of before there
was that table has version 0; migration 1 is the whole schema of that time and leaves what is there as it is. All that one
call applies is one database transaction: it is there whole, or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.errors
from sqlalchemy import Engine

from streamguard.config.errors import UserError
from streamguard.config.resources import migrations as migration_files
from streamguard.config.resources import schema_file
from streamguard.database.engine import error_message
from streamguard.database.locks import Lock

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


class NewerSchema(UserError):
    """The database was made or migrated by a newer version of StreamGuard."""


class MayNotCreate(UserError):
    """The role of DATABASE_URL lacks the right to make tables."""


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    file: Path


@dataclass(frozen=True)
class SchemaChange:
    """What `apply_schema` did: `before` is None for a new database; no change where both versions are equal."""

    before: int | None
    after: int
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.before is None:
            return f"schema {self.after} made"
        if self.before == self.after:
            return f"schema {self.after}"
        return f"schema migrated from {self.before} to {self.after} ({', '.join(self.names)})"


def all_migrations() -> list[Migration]:
    """Every migration in order. Raises ValueError where a file is misnamed or a number is missing or taken twice."""
    found = []
    for file in migration_files():
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise ValueError(f"{file.name}: a migration is named NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], file))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are numbered from 1 on without gaps: {[m.file.name for m in found]}")
    return found


def apply_schema(engine: Engine) -> SchemaChange:
    """Make the schema or bring it to the version of this program; does nothing where it has that.

    Waits for those who write, and they for it: it locks the tables in another order than they do. Raises NewerSchema for
    a database that a newer version made, MayNotCreate for a role without the right to, database errors as they come.
    """
    try:
        return _apply(engine, all_migrations())
    except psycopg2.errors.InsufficientPrivilege as error:
        user, name = engine.url.username, engine.url.database
        raise MayNotCreate(
            f"the role {user} may not create or change tables in the database {name} (DATABASE_URL): {error_message(error)};"
            f' as its owner: GRANT CREATE ON SCHEMA public TO "{user}"; tables that are there have to belong to that role'
        ) from None


def _apply(engine: Engine, migrations: list[Migration]) -> SchemaChange:
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (int(Lock.SCHEMA),))
        before = schema_version(cursor)
        if before is not None and before > len(migrations):
            raise NewerSchema(
                f"the database has schema {before}, this version of StreamGuard knows {len(migrations)}:"
                " install the version that made it, or a newer one"
            )
        if before == len(migrations):
            return SchemaChange(before, before)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (int(Lock.STORE),))
        cursor.execute("SET LOCAL client_min_messages = warning")
        if before is None:
            cursor.execute(schema_file().read_text(encoding="utf-8"))
            return SchemaChange(None, len(migrations))
        missing = migrations[before:]
        for migration in missing:
            cursor.execute(migration.file.read_text(encoding="utf-8"))
            if migration.version == 1:
                cursor.execute(_VERSION_TABLE)
            cursor.execute(
                "INSERT INTO schema_version (version, name) VALUES (%s, %s)", (migration.version, migration.name)
            )
        return SchemaChange(before, len(migrations), tuple(migration.name for migration in missing))


_VERSION_TABLE = """
CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE schema_version IS 'the migrations that this database has'
"""


def schema_version(cursor: Any) -> int | None:
    """The version of the schema; 0 for one of before versions were noted, None for an empty database."""
    cursor.execute("SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('transactions') IS NOT NULL")
    [(versioned, there)] = cursor.fetchall()
    if not versioned:
        return 0 if there else None
    cursor.execute("SELECT max(version) FROM schema_version")
    [(version,)] = cursor.fetchall()
    return int(version or 0)
