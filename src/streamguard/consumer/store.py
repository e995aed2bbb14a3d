"""One database transaction per batch: offsets, transactions, alerts, links, decisions and dead letters, or none of it.

1. `_advance_offsets` moves the offsets, and refuses if they are not where this member left them (then the partition has
   another owner, and storing would have an effect twice).
2. `_insert_transactions` stores the payments; a second record with a stored id becomes a dead letter.
3. `_upsert_alerts` lets incidents grow, never shrink; each version is noted for judgement.
4. Links are made from both sides, for either may come first.
5. `judge` decides on the versions whose transaction is there.
6. `is_fraud` follows.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import orjson
from psycopg2.extras import execute_values
from sqlalchemy import Engine, event

from streamguard.consumer import statements as sql
from streamguard.consumer.judge import judge
from streamguard.consumer.raw import raw_field
from streamguard.consumer.records import Batch, DeadRecord, LogRecord
from streamguard.database.fraud import STORE_LOCK
from streamguard.models import FraudAlert, Transaction
from streamguard.privacy.protection import NO_PROTECTION, Protection
from streamguard.rules import RuleLimits

_SPECIAL = re.compile(r"[\\\t\n\r\x01]")
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x01": "\\x01"}


class Fenced(RuntimeError):
    """The stored offsets are not those this batch was read from: another member owns the partition now."""


class Store:
    """Writes batches. Every method is one transaction; database errors pass through to the caller."""

    def __init__(
        self,
        engine: Engine,
        group: str,
        limits: RuleLimits | None = None,
        *,
        protection: Protection = NO_PROTECTION,
        keep_raw: bool = True,
    ) -> None:
        self._engine = engine
        self._group = group
        self._limits = limits or RuleLimits()
        self._protection = protection
        self._keep_raw = keep_raw
        event.listen(engine, "connect", _make_stage)
        # Connections made before now have no staging table: let the pool make new ones.
        engine.dispose()

    def offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset to read of each partition; a partition never read starts at 0."""
        wanted = list(partitions)
        if not wanted:
            return {}
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            rows = [(self._group, topic, partition, 0) for topic, partition in wanted]
            insert = "INSERT INTO consumer_offsets (group_id, topic, partition_no, next_offset) VALUES %s"
            execute_values(cursor, insert + " ON CONFLICT DO NOTHING", rows)
            cursor.execute(
                "SELECT topic, partition_no, next_offset FROM consumer_offsets WHERE group_id = %s", (self._group,)
            )
            stored = {(topic, partition): offset for topic, partition, offset in cursor.fetchall()}
        return {partition: stored[partition] for partition in wanted}

    def write(self, batch: Batch) -> int:
        """Store a batch whole; returns how many of its records are dead letters now.

        Raises Fenced if the partitions have another owner, SQLAlchemy's and psycopg2's errors as they come.
        """
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            lock = "pg_advisory_xact_lock" if batch.alerts else "pg_advisory_xact_lock_shared"
            cursor.execute(f"SELECT {lock}(%s)", (STORE_LOCK,))
            self._advance_offsets(cursor, batch)
            duplicates, again = self._insert_transactions(cursor, batch) if batch.transactions else ([], [])
            again += self._insert_dead(cursor, [*batch.dead, *duplicates])
            if again:
                self._uncount(cursor, again)
            links: set[tuple[str, str]] = set()
            if batch.transactions:
                cursor.execute(sql.LINK_NEW_TRANSACTIONS)
                links.update(cursor.fetchall())
            if batch.alerts:
                links.update(_upsert_alerts(cursor, batch.alerts))
            alerts = {alert.alert_id for _, alert in batch.alerts} | {alert_id for alert_id, _ in links}
            if alerts:
                _settle(cursor, sorted(alerts), links, self._limits)
        return len(batch.dead) + len(duplicates)

    def _advance_offsets(self, cursor: Any, batch: Batch) -> None:
        rows = [
            (self._group, topic, partition, span.expected, span.next_offset, span.records)
            for (topic, partition), span in sorted(batch.spans.items())
        ]
        execute_values(cursor, sql.ADVANCE_OFFSETS, rows, page_size=len(rows))
        if cursor.rowcount != len(rows):
            raise Fenced("the partitions of this batch have moved to another member")

    def _uncount(self, cursor: Any, again: Sequence[LogRecord]) -> None:
        """Records that were stored from this very place before are accounted for: a log was wiped, or a group is new."""
        counts = Counter((record.topic, record.partition) for record in again)
        rows = [(self._group, topic, partition, count) for (topic, partition), count in counts.items()]
        execute_values(cursor, sql.UNCOUNT, rows)

    def _insert_transactions(self, cursor: Any, batch: Batch) -> tuple[list[DeadRecord], list[LogRecord]]:
        """Store the payments; return the records whose id was stored from elsewhere, as dead letters, and from here."""
        lines = "".join([f"{_copy_line(record, transaction)}\n" for record, transaction in batch.transactions])
        cursor.copy_expert(sql.COPY_STAGE, io.StringIO(lines))
        cursor.execute(sql.INSERT_TRANSACTIONS)
        first: dict[tuple[int, int], tuple[int, int]] = {}
        if cursor.rowcount < len(batch.transactions):
            cursor.execute(sql.TAKE_DUPLICATES)
            first = {(p, o): (first_p, first_o) for p, o, first_p, first_o in cursor.fetchall()}
        if self._keep_raw:
            stored = batch.transactions
            if first:
                stored = [pair for pair in stored if (pair[0].partition, pair[0].offset) not in first]
            self._copy_records(cursor, stored)
        dead, again = [], []
        for record, transaction in batch.transactions if first else ():
            place = (record.partition, record.offset)
            if first.get(place) == place:
                again.append(record)
            elif place in first:
                dead.append(DeadRecord(record, _duplicate_reason(transaction, first[place])))
        return dead, again

    def _copy_records(self, cursor: Any, stored: Sequence[tuple[LogRecord, Transaction]]) -> None:
        """Keep the records of the payments just stored, protected, each in the month of its event."""
        if not stored:
            return
        cursor.execute(sql.MAKE_MONTHS, {"months": _months(payment.event_time for _, payment in stored)})
        lines = [
            f"{_escape(payment.transaction_id)}\t{_instant(payment.event_time)}\t{raw_field(self._raw(record))}\n"
            for record, payment in stored
        ]
        cursor.copy_expert(sql.COPY_RECORDS, io.StringIO("".join(lines)))

    def _raw(self, record: LogRecord) -> bytes:
        """The record as it is kept: as it came, or protected."""
        value = record.value or b""
        return self._protection.raw(value, record.key) if self._protection.active else value

    def _insert_dead(self, cursor: Any, dead: Sequence[DeadRecord]) -> list[LogRecord]:
        """Store the dead letters; return the records whose place had one before: it keeps the newer."""
        if not dead:
            return []
        rows = [(r.topic, r.partition, r.offset, d.reason, *self._bytes_of(r)) for d in dead for r in (d.record,)]
        new = set(execute_values(cursor, sql.INSERT_DEAD_LETTERS, rows, page_size=200, fetch=True))
        return [r for d in dead for r in (d.record,) if (r.topic, r.partition, r.offset, True) not in new]

    def _bytes_of(self, record: LogRecord) -> tuple[bytes | None, bytes | None]:
        """Key and value as a dead letter keeps them: whole, or protected."""
        protection = self._protection
        if not protection.active:
            return record.key, record.value
        return protection.key(record.key), None if record.value is None else self._raw(record)


def _make_stage(connection: Any, _record: object) -> None:
    """Give a new connection its staging table."""
    with connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(sql.MAKE_STAGE)
    connection.commit()


def _months(times_ms: Iterable[int]) -> list[date]:
    """The first days of the months, in UTC, that these instants fall in."""
    return sorted({_day(number).replace(day=1) for number in {ms // _DAY_MS for ms in times_ms}})


def _day(number: int) -> date:
    """A day from its number since 1970."""
    return date(1970, 1, 1) + timedelta(days=number)


@lru_cache(maxsize=4_096)
def _minute(number: int) -> str:
    """A minute from its number since 1970, up to where the seconds follow."""
    day, minute = divmod(number, _DAY_MS // _MINUTE_MS)
    return f"{_day(day)} {minute // 60:02d}:{minute % 60:02d}:"


def _instant(ms: int) -> str:
    """Epoch milliseconds as Postgres reads an instant; by hand, for it is done for each payment."""
    number, ms = divmod(ms, _MINUTE_MS)
    return f"{_minute(number)}{ms / 1_000}+00"


def _duplicate_reason(transaction: Transaction, first: tuple[int, int]) -> str:
    return f"transaction_id {transaction.transaction_id} was stored before, from partition {first[0]} offset {first[1]}"


def _copy_line(record: LogRecord, transaction: Transaction) -> str:
    """One line of COPY's text format, nulls as \\x01; escapes only where there is something to escape."""
    fields = list(transaction.__dict__.values())
    texts = [value if value.__class__ is str else "\x01" if value is None else str(value) for value in fields]
    line = "\t".join(texts)
    if line.count("\t") != len(texts) - 1 or line.count("\x01") != fields.count(None) or _escapable(line):
        line = "\t".join("\x01" if value is None else _escape(str(value)) for value in fields)
    return f"{line}\t{record.partition}\t{record.offset}"


def _escapable(line: str) -> bool:
    return "\\" in line or "\n" in line or "\r" in line


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: _ESCAPES[found.group()], text) if _SPECIAL.search(text) else text


def _upsert_alerts(cursor: Any, alerts: Sequence[tuple[LogRecord, FraudAlert]]) -> list[tuple[str, str]]:
    """Grow the incidents, note each version for judgement, link the transactions that are there. Returns new links."""
    newest: dict[str, tuple[LogRecord, FraudAlert]] = {}
    versions: dict[tuple[str, int], FraudAlert] = {}
    for record, alert in alerts:
        known = newest.get(alert.alert_id)
        if known is None or _version(record, alert) > _version(*known):
            newest[alert.alert_id] = (record, alert)
        versions.setdefault((alert.alert_id, alert.tx_count or 0), alert)
    execute_values(cursor, sql.UPSERT_ALERTS, [_alert_row(record, alert) for record, alert in newest.values()])
    rows = [(a.alert_id, count, "rules", a.transaction_id, _evidence(a)) for (_, count), a in versions.items()]
    execute_values(cursor, sql.INSERT_VERSIONS, rows)
    cursor.execute(sql.LINK_NEW_ALERTS, {"alerts": list(newest)})
    return list(cursor.fetchall())


def _version(record: LogRecord, alert: FraudAlert) -> tuple[int, int]:
    return (alert.tx_count or 0, record.offset)


def _alert_row(record: LogRecord, alert: FraudAlert) -> tuple[Any, ...]:
    return (
        alert.alert_id,
        alert.rule,
        alert.account_id,
        alert.transaction_id,
        alert.amount,
        alert.tx_count or 0,
        alert.window_start,
        alert.window_end,
        alert.detected_at,
        record.partition,
        record.offset,
    )


def _evidence(alert: FraudAlert) -> str:
    """What this version of the alert rests on, kept with its decision."""
    return orjson.dumps(
        {
            "amount": None if alert.amount is None else str(alert.amount),
            "tx_count": alert.tx_count,
            "window_start": alert.window_start,
            "window_end": alert.window_end,
            "detected_at": alert.detected_at,
        }
    ).decode()


def _settle(cursor: Any, alerts: list[str], links: set[tuple[str, str]], limits: RuleLimits) -> None:
    """Decide what can be decided now and let `is_fraud` follow."""
    judge(cursor, alerts, limits)
    cursor.execute(sql.SHOW_OUTCOME, {"alerts": alerts})
    changed = [alert_id for (alert_id,) in cursor.fetchall()]
    touched = {transaction_id for _, transaction_id in links}
    if changed:
        cursor.execute(sql.TRANSACTIONS_OF, {"alerts": changed})
        touched.update(transaction_id for (transaction_id,) in cursor.fetchall())
    if touched:
        cursor.execute(sql.MARK_FRAUD, {"transactions": sorted(touched)})
