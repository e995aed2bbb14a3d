"""Postgres, and what waits in it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from streamguard.stack.health.base import Context, Finding, check

_OUTBOX = """
SELECT count(*) AS records, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::FLOAT AS oldest_s FROM outbox
"""
_DEAD_LETTERS = "SELECT source_topic, count(*) AS records FROM dead_letters GROUP BY 1 ORDER BY 1"


def has_tables(context: Context) -> bool:
    """Whether the database answers and has been set up."""
    if context.database is None:
        return False
    return bool(context.database.execute(text("SELECT to_regclass('consumer_offsets') IS NOT NULL")).scalar())


@check("Postgres is unavailable")
def unavailable(context: Context) -> Iterator[Finding]:
    """Nobody can log in to the database."""
    if context.database is None:
        yield Finding(
            f"the database (DATABASE_URL) is unavailable: {context.database_error}; nothing is stored until it is back,"
            " then everything: see `streamguard logs postgres`"
        )


@check("The database has no tables yet")
def no_tables(context: Context) -> Iterator[Finding]:
    """A database that no start has seen."""
    if context.database is not None and not has_tables(context):
        yield Finding("the database (DATABASE_URL) has no tables yet: `streamguard up` makes them")


@check("The outbox is not drained")
def outbox(context: Context) -> Iterator[Finding]:
    """Decisions or dead letters are stored, and their topics do not get them."""
    if context.database is None or not has_tables(context):
        return
    waiting = context.database.execute(text(_OUTBOX)).one()
    if waiting.oldest_s > context.limit_s:
        yield Finding(
            f"{waiting.records:,} records wait in the outbox, the oldest for {waiting.oldest_s:.0f} s: the consumer sends"
            " them, once each, when it and Kafka run; see `streamguard logs consumer`"
        )


@check("There are dead letters")
def dead_letters(context: Context) -> Iterator[Finding]:
    """Records that could not be used; nothing stands still for them."""
    if context.database is None or not has_tables(context):
        return
    counts = [f"{row.records:,} of {row.source_topic}" for row in context.database.execute(text(_DEAD_LETTERS))]
    if counts:
        yield Finding(f"dead letters: {', '.join(counts)}; the runbook has the query for their reasons", serious=False)
