"""Webhooks: receivers that do not take decisions, and decisions that nobody sends."""

from __future__ import annotations

from collections.abc import Iterator

from kafka import TopicPartition
from sqlalchemy import text

from streamguard.kafka.lags import has_record, lags
from streamguard.stack.health.base import Context, Finding, check

LIMIT_S = 600.0
"""A receiver may be down for a while: what fails is tried again."""
_READ_WITHIN_S = 5.0

_WAITS = "(SELECT count(*) FROM webhook_deliveries d WHERE d.hook_no = h.hook_no AND status = 'waiting') AS waiting"
_FAILING = f"""
SELECT hook_no, url, last_error, extract(epoch FROM clock_timestamp() - failing_since)::FLOAT AS failing_s, {_WAITS}
FROM webhooks h WHERE is_on AND failing_since < clock_timestamp() - CAST(:limit_s AS FLOAT) * INTERVAL '1 second' ORDER BY 1
"""
_OFF = f"SELECT hook_no, url, off_reason, {_WAITS} FROM webhooks h WHERE NOT is_on ORDER BY 1"
_GIVEN_UP = """
SELECT hook_no, count(*) AS deliveries FROM webhook_deliveries
WHERE status = 'given_up' AND topic IS NOT NULL GROUP BY 1 ORDER BY 1
"""
_WAITING = """
SELECT count(*) AS deliveries, coalesce(extract(epoch FROM clock_timestamp() - min(next_at)), 0)::FLOAT AS oldest_s
FROM webhook_deliveries d JOIN webhooks h USING (hook_no)
WHERE status = 'waiting' AND is_on AND failing_since IS NULL
    AND next_at < clock_timestamp() - CAST(:limit_s AS FLOAT) * INTERVAL '1 second'
"""
_OFFSETS = """
SELECT topic, partition_no, next_offset, left_out, extract(epoch FROM clock_timestamp() - updated_at)::FLOAT AS quiet_s
FROM webhook_offsets ORDER BY 1, 2
"""


def _has_webhooks(context: Context) -> bool:
    if (
        context.database is None
        or not context.database.execute(text("SELECT to_regclass('webhooks') IS NOT NULL")).scalar()
    ):
        return False
    return bool(context.database.execute(text("SELECT EXISTS (SELECT FROM webhooks)")).scalar())


@check("A webhook fails")
def failing(context: Context) -> Iterator[Finding]:
    """Its receiver has taken nothing for ten minutes."""
    if context.database is None or not _has_webhooks(context):
        return
    for row in context.database.execute(text(_FAILING), {"limit_s": LIMIT_S}):
        yield Finding(
            f"webhook {row.hook_no} ({row.url}) has failed for {row.failing_s / 60:.0f} min ({row.last_error}), {row.waiting:,}"
            " deliveries wait: mend the receiver; what fails for a day is given up, and can be sent again at the desk"
        )


@check("Decisions wait for their webhooks")
def waiting(context: Context) -> Iterator[Finding]:
    """Nobody sends what is due, or reads the topic of decisions."""
    if context.database is None or not _has_webhooks(context):
        return
    due = context.database.execute(text(_WAITING), {"limit_s": LIMIT_S}).one()
    if due.deliveries:
        yield Finding(
            f"{due.deliveries:,} deliveries of webhooks are due, the oldest for {due.oldest_s / 60:.0f} min: the desk sends them"
            " when it runs; see `streamguard logs desk`"
        )
    if unread := _unread(context):
        yield Finding(
            f"{unread:,} decisions were not read for webhooks for {LIMIT_S / 60:.0f} min: the desk reads them when it and Kafka"
            " run; see `streamguard logs desk`"
        )


@check("A webhook does not get everything")
def left_out(context: Context) -> Iterator[Finding]:
    """One is off, deliveries were given up, or decisions were gone before they were read."""
    if context.database is None or not _has_webhooks(context):
        return
    for row in context.database.execute(text(_OFF)):
        yield Finding(
            f"webhook {row.hook_no} ({row.url}) is off ({row.off_reason}), {row.waiting:,} deliveries wait for it: resume or"
            " remove it at the desk",
            serious=False,
        )
    for row in context.database.execute(text(_GIVEN_UP)):
        yield Finding(
            f"{row.deliveries:,} deliveries of webhook {row.hook_no} were given up after a day: its page at the desk shows"
            " them, and sends them again",
            serious=False,
        )
    for row in context.database.execute(text(_OFFSETS)):
        if row.left_out:
            yield Finding(
                f"{row.left_out:,} offsets of {row.topic}/{row.partition_no} were removed or corrupt before webhooks got them:"
                " see `streamguard logs desk`",
                serious=False,
            )


def _unread(context: Context) -> int:
    """Records of the topic that nobody has read for long; markers of transactions are none."""
    if context.database is None or context.kafka is None:
        return 0
    rows = [row for row in context.database.execute(text(_OFFSETS)) if row.quiet_s > LIMIT_S]
    positions = {TopicPartition(row.topic, row.partition_no): int(row.next_offset) for row in rows}
    servers = context.settings.kafka
    behind = [lag for lag in lags(context.kafka, positions) if lag.records]
    return sum(lag.records or 0 for lag in behind if has_record(servers, lag, _READ_WITHIN_S))
