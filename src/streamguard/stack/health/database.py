"""Postgres, and what waits in it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from streamguard.stack.health.base import Context, Finding, check

_OUTBOX = """
SELECT count(*) AS records, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::FLOAT AS oldest_s FROM outbox
"""
_DEAD_LETTERS = """
SELECT source_topic, count(*) AS records, count(*) FILTER (WHERE reason LIKE 'the record batch is corrupt%') AS lost
FROM dead_letters GROUP BY 1 ORDER BY 1
"""
_REFUSED = """
SELECT a.alert_id, v.refused_topic || '/' || v.refused_partition || '/' || v.refused_offset AS place,
    count(*) OVER () AS alerts
FROM fraud_alerts a
JOIN LATERAL (
    SELECT refused_topic, refused_partition, refused_offset FROM alert_versions v
    WHERE v.alert_id = a.alert_id AND v.refused_topic IS NOT NULL ORDER BY v.tx_count DESC LIMIT 1
) v ON TRUE
WHERE a.outcome = 'refused' ORDER BY a.detected_at DESC, a.alert_id LIMIT 1
"""
_WAITING = """
SELECT count(*) AS versions, min(alert_id) AS alert_id FROM alert_versions JOIN fraud_alerts a USING (alert_id)
WHERE NOT judged AND a.updated_at < clock_timestamp() - CAST(:limit_s AS FLOAT) * INTERVAL '1 second'
"""


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
            f" then everything: {context.where_to_look('postgres')}"
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
    rows = list(context.database.execute(text(_DEAD_LETTERS)))
    counts = [
        f"{row.records:,} of {row.source_topic}" + (f" ({row.lost:,} lost in corrupt batches)" if row.lost else "")
        for row in rows
    ]
    if counts:
        yield Finding(
            f"dead letters: {', '.join(counts)}; `streamguard dead-letters list` shows their reasons", serious=False
        )


@check("Alerts rest on refused transactions")
def refused_alerts(context: Context) -> Iterator[Finding]:
    """The SQL rules have seen a record that the consumer could not use."""
    if context.database is None or not has_tables(context):
        return
    newest = context.database.execute(text(_REFUSED)).first()
    if newest is not None:
        yield Finding(
            f"{newest.alerts:,} alerts are on transactions that were refused, the newest is {newest.alert_id}: see"
            f" `streamguard dead-letters show {newest.place}`",
            serious=False,
        )


@check("Alerts wait for their transaction")
def waiting_alerts(context: Context) -> Iterator[Finding]:
    """A version of an alert names a transaction that is neither stored nor a dead letter."""
    if context.database is None or not has_tables(context):
        return
    waiting = context.database.execute(text(_WAITING), {"limit_s": context.limit_s}).one()
    if waiting.versions:
        yield Finding(
            f"{waiting.versions:,} versions of alerts wait for their transaction for longer than {context.limit_s:.0f} s,"
            f" as of {waiting.alert_id}: see whether the consumer falls behind, and whether the topic still has the record",
            serious=False,
        )
