"""One database transaction per batch: offsets, transactions, alerts, links, decisions and dead letters, or none of it.

1. `_advance_offsets` moves the offsets, and fails if they are not where this member left them (then the partition has
   another owner, and storing would have an effect twice).
2. `_insert_transactions` stores the transactions; a second record with a stored id becomes a dead letter.
3. `admit` leaves out alerts that do not count because their rule was replaced; `_upsert_alerts` lets the others grow, never
   shrink; each version waits in `alert_versions` for its judgement.
4. Links are made from both sides, for either may be stored first.
5. `settle_refusals` decides on the versions whose transaction is a dead letter, `judge` on those whose is stored.
6. `is_fraud` follows.
7. `quality` adds what the batch says about its sources to the minute.

Dead letters and decisions are put into the outbox too; `consumer.publisher` sends them afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from psycopg2.extras import execute_values
from sqlalchemy import Engine, event

from streamguard.config import Settings
from streamguard.consumer import second_look
from streamguard.consumer import statements as sql
from streamguard.consumer.copy_text import escaped, fields_line, instant_field, json_field, months_of
from streamguard.consumer.exclusion import Exclusion, Foreign, everything, only
from streamguard.consumer.judge import Judged, judge
from streamguard.consumer.quality import BatchQuality, Outcome
from streamguard.consumer.raw_records import is_row
from streamguard.consumer.records import Batch, ConsumedRecord, DeadRecord, wall_clock_ms
from streamguard.consumer.refusal_statements import UNSETTLED
from streamguard.consumer.refusals import account_of, id_of, settle_refusals
from streamguard.consumer.replacements import admit, any_held, forget, take_held
from streamguard.consumer.rule_sets import RuleSets
from streamguard.consumer.second_look import Noted
from streamguard.database import outbox, prepared
from streamguard.database.copy import copy_text
from streamguard.database.fraud import MARK_FRAUD
from streamguard.database.rows import fetch, fetch_values
from streamguard.kafka.topics import MAX_RECORD_BYTES
from streamguard.models import DeadLetter, FraudAlert, Transaction
from streamguard.privacy.protection import NO_PROTECTION, Protection
from streamguard.rules import RuleLimits


class Fenced(RuntimeError):
    """The stored offsets are not those this batch was read from: another member owns the partition now."""


@dataclass(frozen=True, slots=True)
class _Offset:
    topic: str
    partition_no: int
    next_offset: int
    newest_event_ms: int | None


@dataclass(frozen=True, slots=True)
class _Duplicate:
    """A record whose transaction id was stored before, and the partition and offset it was stored from."""

    partition: int
    offset_no: int
    first_partition: int
    first_offset: int


@dataclass(frozen=True, slots=True)
class _StoredDeadLetter:
    topic: str
    partition: int
    offset_no: int
    failed_at: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Link:
    alert_id: str
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What a batch became: counts of rows; `outbox` is whether there are records to send."""

    transactions: int
    alerts: int
    dead_letters: int
    outbox: bool
    dead: Sequence[DeadRecord] = ()
    judged: Sequence[Judged] = ()
    refused: int = 0
    """Versions of alerts that were decided as refused."""


class _Decided(NamedTuple):
    """What was decided: by the rules, and how many versions as refused."""

    judged: Sequence[Judged]
    refused: int


class Store:
    """Writes batches. Every method is one database transaction; database errors pass through to the caller."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        limits: RuleLimits | None = None,
        *,
        protection: Protection = NO_PROTECTION,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._group = settings.consumer_group
        self._rules = RuleSets(limits or RuleLimits(), {"max_ahead_s": settings.max_ahead_s})
        self._protection = protection
        self.judged_ns = (0, 0)
        """When the rules were asked last, and when they had answered, nanoseconds of the epoch."""
        self._clock_ms = clock_ms
        self.is_alone = True
        """Whether this member has all partitions: then there is nobody to let store meanwhile."""
        self._newest: dict[tuple[str, int], int] = {}
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
            execute_values(
                cursor, sql.INSERT_OFFSETS, [(self._group, topic, partition, 0) for topic, partition in wanted]
            )
            cursor.execute(sql.OFFSETS, {"group": self._group})
            stored = {(row.topic, row.partition_no): row for row in fetch(cursor, _Offset)}
        self._newest = {partition: row.newest_event_ms or 0 for partition, row in stored.items()}
        return {partition: stored[partition].next_offset for partition in wanted}

    def write(self, batch: Batch) -> Stored:
        """Store a batch whole.

        Raises Fenced if the partitions have another owner, SQLAlchemy's and psycopg2's errors as they come.
        """
        rows = [_FIELDS(transaction.__dict__) for _, transaction in batch.transactions]
        quality = BatchQuality(batch, rows, self._newest)
        accounts = None if self.is_alone else self._accounts(batch)
        try:
            return self._write(batch, rows, quality, accounts)
        except Foreign:
            return self._write(batch, rows, quality, None)

    def _accounts(self, batch: Batch) -> set[str] | None:
        """The accounts that a batch concerns; None if a dead letter may concern any."""
        accounts = {transaction.account_id for _, transaction in batch.transactions}
        accounts.update(alert.account_id for _, alert in batch.alerts)
        for dead in batch.dead:
            record = dead.record
            if record.topic == self._settings.alerts_topic or record.value is None:
                continue
            account = account_of(record.key)
            if account is None:
                return None
            accounts.add(self._protection.value("account", account))
        return accounts

    def _write(
        self, batch: Batch, rows: Sequence[tuple[Any, ...]], quality: BatchQuality, accounts: set[str] | None
    ) -> Stored:
        """Store a batch that concerns these accounts, None for any. Raises Foreign where it concerns others."""
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            exclusion = everything(cursor) if accounts is None else only(cursor, accounts)
            self._advance_offsets(cursor, batch, quality.newest)
            duplicates = self._insert_transactions(cursor, batch, rows) if batch.transactions else {}
            repeated, again = _repeated(batch, duplicates)
            dead = [*batch.dead, *repeated]
            dead_again, refused = self._insert_dead(cursor, dead)
            if again or dead_again:
                self._decrement(cursor, [*again, *dead_again])
            links: set[_Link] = set()
            if batch.transactions:
                prepared.execute(cursor, sql.LINK_NEW_TRANSACTIONS)
                links.update(fetch(cursor, _Link))
            admitted = admit(cursor, self._settings, batch.alerts) if batch.alerts else []
            decided = self._store_alerts(cursor, admitted, links, refused, exclusion)
            if admitted and not exclusion.is_total:
                second_look.note(cursor, [alert.alert_id for _, alert in admitted])
            quality.add(cursor, Outcome(repeated, dead, again, dead_again), self._clock_ms())
        self._newest.update(quality.newest)
        transactions = len(batch.transactions) - len(repeated)
        return Stored(transactions, len(admitted), len(dead), bool(dead or any(decided)), dead, *decided)

    def store_held(self) -> Stored:
        """Store those of the alerts held around the replacement of their rule of which it is known now that they count."""
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            if not any_held(cursor):
                return Stored(0, 0, 0, outbox=False)
            exclusion = everything(cursor)
            alerts = take_held(cursor, self._settings)
            decided = self._store_alerts(cursor, alerts, set(), set(), exclusion)
        return Stored(0, len(alerts), 0, any(decided), (), *decided)

    def look_again(self) -> Stored:
        """Decide what could not be seen when it was stored beside other members (`streamguard.consumer.second_look`)."""
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            if not second_look.any_noted(cursor):
                return Stored(0, 0, 0, outbox=False)
            noted = second_look.ripe(cursor)
            second_look.number(cursor)
        if not noted:
            return Stored(0, 0, 0, outbox=False)
        try:
            decided = self._look_again(noted, {one.account_id for one in noted})
        except Foreign:
            decided = self._look_again(noted, None)
        return Stored(0, 0, 0, any(decided), (), *decided)

    def _look_again(self, noted: Sequence[Noted], accounts: set[str] | None) -> _Decided:
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            exclusion = everything(cursor) if accounts is None else only(cursor, accounts)
            alerts = second_look.take(cursor, noted)
            if not alerts:
                return _Decided((), 0)
            prepared.execute(cursor, sql.LINK_NEW_ALERTS, {"alerts": alerts})
            return self._settle(cursor, set(alerts), set(fetch(cursor, _Link)), set(), exclusion)

    def forget_replacements(self) -> None:
        """A topic was made anew: where rules were replaced says nothing about its records."""
        with self._engine.begin() as connection:
            forget(connection.connection.cursor())

    def _store_alerts(
        self,
        cursor: Any,
        alerts: Sequence[tuple[ConsumedRecord, FraudAlert]],
        links: set[_Link],
        refused: set[str],
        exclusion: Exclusion,
    ) -> _Decided:
        """Store alerts, and decide what can be decided by them, the new `links` and the transactions `refused`."""
        if alerts:
            links = links | set(_upsert_alerts(cursor, alerts))
        touched = {alert.alert_id for _, alert in alerts} | {link.alert_id for link in links}
        return self._settle(cursor, touched, links, refused, exclusion) if touched or refused else _Decided((), 0)

    def settle_waiting(self) -> int:
        """Settle the versions that wait for a transaction which an earlier version of the program refused; how many."""
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            exclusion = everything(cursor)
            second_look.number_anew(cursor)
            cursor.execute(UNSETTLED)
            alerts = {alert_id for (alert_id,) in cursor.fetchall()}
            if not alerts:
                return 0
            judged, refused = self._settle(cursor, alerts, set(), set(), exclusion)
            return len(judged) + refused

    def _advance_offsets(self, cursor: Any, batch: Batch, newest: Mapping[tuple[str, int], int]) -> None:
        rows = [
            (self._group, *place, span.expected, span.next_offset, span.records, newest.get(place))
            for place, span in sorted(batch.spans.items())
        ]
        execute_values(cursor, sql.ADVANCE_OFFSETS, rows, page_size=len(rows))
        if cursor.rowcount != len(rows):
            raise Fenced("the partitions of this batch have moved to another member")

    def _decrement(self, cursor: Any, again: Sequence[ConsumedRecord]) -> None:
        """Records that were stored from this very offset before are counted already: a topic was made anew, or a group."""
        counts = Counter((record.topic, record.partition) for record in again)
        rows = [(self._group, topic, partition, count) for (topic, partition), count in counts.items()]
        execute_values(cursor, sql.DECREMENT_RECORDS_READ, rows)

    def _insert_transactions(
        self, cursor: Any, batch: Batch, rows: Sequence[tuple[Any, ...]]
    ) -> dict[tuple[int, int], _Duplicate]:
        """Store the transactions; return the records whose id was stored before, by partition and offset."""
        keep, raw = self._settings.keep_raw, self._raw
        known = [keep and is_row(raw(record), transaction.__dict__) for record, transaction in batch.transactions]
        lines = "".join(
            [
                f"{fields_line(row)}\t{record.partition}\t{record.offset}\t{'t' if is_known else 'f'}\n"
                for row, (record, _), is_known in zip(rows, batch.transactions, known, strict=True)
            ]
        )
        copy_text(cursor, sql.COPY_STAGE, lines)
        prepared.execute(cursor, sql.INSERT_TRANSACTIONS)
        duplicates: dict[tuple[int, int], _Duplicate] = {}
        if cursor.rowcount < len(batch.transactions):
            cursor.execute(sql.TAKE_DUPLICATES)
            duplicates = {(found.partition, found.offset_no): found for found in fetch(cursor, _Duplicate)}
        if keep:
            stored = [pair for pair, is_known in zip(batch.transactions, known, strict=True) if not is_known]
            if duplicates:
                stored = [pair for pair in stored if (pair[0].partition, pair[0].offset) not in duplicates]
            self._copy_records(cursor, stored)
        return duplicates

    def _copy_records(self, cursor: Any, stored: Sequence[tuple[ConsumedRecord, Transaction]]) -> None:
        """Keep records of transactions just stored, protected, each in the month of its event."""
        if not stored:
            return
        months = months_of(transaction.event_time for _, transaction in stored)
        prepared.execute(cursor, sql.MAKE_MONTHS, {"months": months})
        lines = [
            f"{escaped(transaction.transaction_id)}\t{instant_field(transaction.event_time)}"
            f"\t{json_field(self._raw(record))}\n"
            for record, transaction in stored
        ]
        copy_text(cursor, sql.COPY_RECORDS, "".join(lines))

    def _raw(self, record: ConsumedRecord) -> bytes:
        """The record as it is kept: as it came, or protected."""
        value = record.value or b""
        return self._protection.raw(value, record.key) if self._protection.active else value

    def _insert_dead(self, cursor: Any, dead: Sequence[DeadRecord]) -> tuple[list[ConsumedRecord], set[str]]:
        """Store the dead letters, here and in the outbox; return the records whose offset had one before, and the ids of
        the transactions that are refused now.

        The newer one is kept, and sent again where its bytes differ.
        """
        if not dead:
            return [], set()
        letters = {
            (d.record.topic, d.record.partition, d.record.offset): (
                d,
                *self._protection.kept(d.record.key, d.record.value),
            )
            for d in dead
        }
        ids = {place: self._transaction_of(place, d.record, value) for place, (d, _, value) in letters.items()}
        rows = [(*place, d.reason, key, value, *ids[place]) for place, (d, key, value) in letters.items()]
        stored = fetch_values(cursor, _StoredDeadLetter, sql.INSERT_DEAD_LETTERS, rows)
        records, new = [], set()
        for letter in stored:
            place = (letter.topic, letter.partition, letter.offset_no)
            record, key, value = letters[place]
            records.append((key, _letter(letter, record.reason, key, value).to_json()))
            if letter.is_new:
                new.add(place)
        outbox.add(cursor, self._settings.dead_letters_topic, records)
        refused = {ids[letter.topic, letter.partition, letter.offset_no][0] for letter in stored}
        again = [d.record for place, (d, _, _) in letters.items() if place not in new]
        return again, {transaction_id for transaction_id in refused if transaction_id is not None}

    def _transaction_of(
        self, place: tuple[str, int, int], record: ConsumedRecord, value: bytes | None
    ) -> tuple[str | None, str | None]:
        """The ids of transaction and account of a dead letter as alerts name them; `value` is what is kept of its bytes."""
        if place[0] == self._settings.alerts_topic:
            return None, None
        account = account_of(record.key)
        return id_of(value), None if account is None else self._protection.value("account", account)

    def _settle(
        self, cursor: Any, alerts: set[str], links: set[_Link], refused: set[str], exclusion: Exclusion
    ) -> _Decided:
        """Decide what can be decided now, by the transactions stored and those `refused`, and let `is_fraud` follow.

        Raises Foreign where that concerns accounts beside those of `exclusion`.
        """
        topic = self._settings.decisions_topic
        _check(cursor, exclusion, alerts, {link.transaction_id for link in links})
        settled = settle_refusals(cursor, sorted(alerts), refused, topic, exclusion)
        open_alerts = sorted(alerts | settled.alerts)
        began_ns = time.time_ns()
        judged = judge(cursor, open_alerts, self._rules, topic) if open_alerts else []
        self.judged_ns = (began_ns, time.time_ns())
        prepared.execute(cursor, sql.SHOW_OUTCOME, {"alerts": open_alerts})
        changed = [alert_id for (alert_id,) in cursor.fetchall()]
        touched = {link.transaction_id for link in links} | settled.unlinked
        if changed:
            prepared.execute(cursor, sql.TRANSACTIONS_OF, {"alerts": changed})
            touched.update(transaction_id for (transaction_id,) in cursor.fetchall())
        if touched:
            _check(cursor, exclusion, (), touched)
            prepared.execute(cursor, MARK_FRAUD, {"transactions": sorted(touched)})
        return _Decided(judged, settled.count)


def _check(cursor: Any, exclusion: Exclusion, alerts: Iterable[str], transactions: Iterable[str]) -> None:
    """Raises Foreign where one of them has an account that is not locked."""
    if not exclusion.is_total:
        cursor.execute(sql.ACCOUNTS_OF, {"alerts": list(alerts), "transactions": list(transactions)})
        exclusion.check(account_id for (account_id,) in cursor.fetchall())


def _make_stage(connection: Any, _record: object) -> None:
    """Give a new connection its settings and its staging table."""
    with connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(prepared.SETTINGS)
        cursor.execute(sql.MAKE_STAGE)
    connection.commit()


def _duplicate_reason(transaction: Transaction, duplicate: _Duplicate) -> str:
    return (
        f"transaction_id {transaction.transaction_id} was stored before,"
        f" from partition {duplicate.first_partition} offset {duplicate.first_offset}"
    )


_FIELDS = itemgetter(*sql.FIELDS)


def _repeated(
    batch: Batch, duplicates: Mapping[tuple[int, int], _Duplicate]
) -> tuple[list[DeadRecord], list[ConsumedRecord]]:
    """The records whose id was stored from another offset, as dead letters, and those that were stored from this one."""
    dead, again = [], []
    for record, transaction in batch.transactions if duplicates else ():
        duplicate = duplicates.get((record.partition, record.offset))
        if duplicate is None:
            continue
        if (duplicate.first_partition, duplicate.first_offset) == (record.partition, record.offset):
            again.append(record)
        else:
            dead.append(DeadRecord(record, _duplicate_reason(transaction, duplicate)))
    return dead, again


def _letter(stored: _StoredDeadLetter, reason: str, key: bytes | None, value: bytes | None) -> DeadLetter:
    """The dead letter as its topic takes it: what is larger than a record may be stays in the table."""
    if value is not None and len(value) > MAX_RECORD_BYTES:
        reason += f" (its {len(value):,} bytes are in the table dead_letters only)"
        value = None
    return DeadLetter(
        topic=stored.topic,
        partition=stored.partition,
        offset=stored.offset_no,
        reason=reason,
        key=key,
        value=value,
        failed_at=stored.failed_at,
    )


def _upsert_alerts(cursor: Any, alerts: Sequence[tuple[ConsumedRecord, FraudAlert]]) -> list[_Link]:
    """Grow the alerts, keep each version for judgement, link the transactions that are stored. Returns new links."""
    newest: dict[str, tuple[ConsumedRecord, FraudAlert]] = {}
    versions: dict[tuple[str, int], tuple[ConsumedRecord, FraudAlert]] = {}
    for record, alert in alerts:
        known = newest.get(alert.alert_id)
        if known is None or _version(record, alert) > _version(*known):
            newest[alert.alert_id] = (record, alert)
        versions.setdefault((alert.alert_id, alert.tx_count or 0), (record, alert))
    growing = [_alert_row(record, alert) for record, alert in newest.values()]
    execute_values(cursor, sql.UPSERT_ALERTS, growing, page_size=len(growing))
    rows = [
        (a.alert_id, count, a.transaction_id, _evidence(a), record.partition, record.offset)
        for (_, count), (record, a) in versions.items()
    ]
    execute_values(cursor, sql.INSERT_VERSIONS, rows, page_size=len(rows))
    prepared.execute(cursor, sql.LINK_NEW_ALERTS, {"alerts": list(newest)})
    return fetch(cursor, _Link)


def _version(record: ConsumedRecord, alert: FraudAlert) -> tuple[int, int]:
    return (alert.tx_count or 0, record.offset)


def _alert_row(record: ConsumedRecord, alert: FraudAlert) -> tuple[Any, ...]:
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
    """What this version of the alert rests on."""
    return orjson.dumps(
        {
            "amount": None if alert.amount is None else str(alert.amount),
            "tx_count": alert.tx_count,
            "window_start": alert.window_start,
            "window_end": alert.window_end,
            "detected_at": alert.detected_at,
        }
    ).decode()
