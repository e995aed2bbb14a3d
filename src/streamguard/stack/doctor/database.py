"""The database: whether it can be used, its schema, and what the role may do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection, inspect, text

from streamguard.config.resources import schema_file
from streamguard.database.migrations import all_migrations, schema_version
from streamguard.database.tables import Base
from streamguard.stack.doctor.base import DATABASE, Finding, Surroundings, check, from_health, halves
from streamguard.stack.health import database as health
from streamguard.stack.readiness import postgres_probe

_INDEXES = "SELECT indexname FROM pg_indexes WHERE schemaname = ANY (current_schemas(false))"
_RIGHTS = "SELECT", "INSERT", "UPDATE", "DELETE"


@check("Postgres")
def answers(around: Surroundings) -> Iterator[Finding]:
    """Whether one can log in: an error that waiting does not mend is a finding also where nothing runs."""
    if around.parts.database is not None:
        return
    problem = postgres_probe(around.settings)
    if problem is not None and problem.permanent:
        cure = "check DATABASE_URL (STREAMGUARD_POSTGRES_USER, STREAMGUARD_POSTGRES_PASSWORD)"
        found = halves(str(problem), cure)
        yield found if "Postgres refuses" in str(problem) else Finding(f"the database: {problem}", cure)
    elif around.should_answer("postgres"):
        yield from from_health(health.unavailable, around)


@check("Schema", DATABASE)
def schema(around: Surroundings) -> Iterator[Finding]:
    """Behind or ahead of this program, or altered by hand."""
    known = all_migrations()
    there = schema_version(around.database.connection.cursor())
    if there is None:
        yield from from_health(health.no_tables, around)
    elif there > len(known):
        yield Finding(
            f"the database has schema {there}, this version of StreamGuard knows {len(known)}",
            "install the version that made it, or a newer one",
        )
    elif there < len(known):
        names = ", ".join(one.name for one in known[there:])
        yield Finding(
            f"the database has schema {there} of {len(known)} (missing: {names})", "`streamguard up` migrates it"
        )
    else:
        yield from _altered(around.database)


def _altered(connection: Connection) -> Iterator[Finding]:
    """Tables, columns and indexes that are missing, and columns of another type."""
    cure = "make it again as docker/init-db.sql has it, or restore a backup: `streamguard restore FILE`"
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    for name, table in Base.metadata.tables.items():
        if name not in tables:
            yield Finding(f"the database has no table {name}", cure)
            continue
        dialect = connection.dialect
        there = {one["name"]: one["type"].compile(dialect).upper() for one in inspector.get_columns(name)}
        for column in table.columns:
            wanted = column.type.compile(dialect).upper()
            if column.name not in there:
                yield Finding(f"the table {name} has no column {column.name}", cure)
            elif there[column.name] != wanted:
                yield Finding(f"the column {name}.{column.name} is {there[column.name]}, not {wanted}", cure)
    yield from _indexes(connection)


def _indexes(connection: Connection) -> Iterator[Finding]:
    statements = re.findall(r"^CREATE (?:UNIQUE )?INDEX (\w+)[^;]*;", schema_file().read_text("utf-8"), re.MULTILINE)
    there = set(
        connection.execute(
            text("SELECT indexname FROM pg_indexes WHERE schemaname = ANY (current_schemas(false))")
        ).scalars()
    )
    for name in statements:
        if name not in there:
            yield Finding(
                f"the database has no index {name}: some questions take long",
                f"run its line of docker/init-db.sql: `grep -A2 '{name}' docker/init-db.sql`",
            )


@check("Rights of the database's role", DATABASE)
def rights(around: Surroundings) -> Iterator[Finding]:
    """What every process does; migrations need more, and say so."""
    connection, user = around.database, around.settings.database.user
    tables = [name for name in Base.metadata.tables if inspect(connection).has_table(name)]
    lacking: dict[str, list[str]] = {}
    for table in tables:
        for right in _RIGHTS:
            may = "SELECT has_table_privilege(CAST(:table AS TEXT), CAST(:right AS TEXT))"
            if not connection.execute(text(may), {"table": table, "right": right}).scalar_one():
                lacking.setdefault(right, []).append(table)
    for right, names in lacking.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
        yield Finding(
            f"the role {user} (DATABASE_URL) may not {right} in {shown}",
            f'as their owner: `GRANT {", ".join(_RIGHTS)} ON ALL TABLES IN SCHEMA public TO "{user}";`',
        )
    if not connection.execute(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")).scalar_one():
        yield Finding(
            f"the role {user} (DATABASE_URL) may not make tables: the months of raw records are tables",
            f'as the owner of the database: `GRANT CREATE ON SCHEMA public TO "{user}";`',
        )
