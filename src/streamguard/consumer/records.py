"""The bytes that the consumer reads as transactions, alerts or dead letters, and batches of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol

from streamguard.config import Settings
from streamguard.models import BadRecord, FraudAlert, Transaction
from streamguard.models.fields import looks_like, time_unit
from streamguard.privacy.protection import NO_PROTECTION, Protection


class ConsumedRecord(Protocol):
    """What we use of a Kafka client's record: its topic, partition and offset, and its bytes."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class LostRecord:
    """An offset whose record cannot be read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record that cannot be used, whole, with the reason."""

    record: ConsumedRecord
    reason: str


@dataclass(slots=True)
class Span:
    """The offsets of one partition that a batch has read: [expected, next_offset)."""

    expected: int
    """The next offset the database must hold for the batch to be ours to store."""
    next_offset: int
    records: int = 0


class Run(NamedTuple):
    """The transactions of one partition that stand beside each other in a batch: its list from `first` to before `end`."""

    partition: tuple[str, int]
    first: int
    end: int
    starts_over: bool
    """Whether they are from before the stored offset: the topic was made anew."""


@dataclass(slots=True)
class Batch:
    """Records read together and stored together. Lists keep the order of the topic within each partition."""

    spans: dict[tuple[str, int], Span] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    transactions: list[tuple[ConsumedRecord, Transaction]] = field(default_factory=list)
    alerts: list[tuple[ConsumedRecord, FraudAlert]] = field(default_factory=list)
    dead: list[DeadRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.transactions) + len(self.alerts) + len(self.dead)

    def __bool__(self) -> bool:
        return bool(self.spans)


def wall_clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Decoder:
    """Turns records into batches. One topic carries alerts, all else are transactions; a record has a largest size.

    A transaction's time may be ahead of the clock by `max_ahead_s`; the WHERE of the SQL rules has the same limit. Its
    transactions and alerts are protected already; the record beside each is as it came.
    """

    def __init__(
        self, settings: Settings, protection: Protection = NO_PROTECTION, clock_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        self._alerts_topic = settings.alerts_topic
        self._max_bytes = settings.record_max_bytes
        self._max_ahead_s = settings.max_ahead_s
        self._protection = protection
        self._clock_ms = clock_ms

    def add(self, batch: Batch, expected: int, records: Iterable[ConsumedRecord]) -> None:
        """Decode the records of one partition, whose stored offset is `expected`, into `batch`."""
        span, first, starts_over = None, len(batch.transactions), False
        for record in records:
            if span is None:
                partition, starts_over = (record.topic, record.partition), record.offset < expected
                span = batch.spans.setdefault(partition, Span(expected, expected))
            self._decode(batch, record)
            span.next_offset = record.offset + 1
            span.records += 1
        if len(batch.transactions) > first:
            batch.runs.append(Run(partition, first, len(batch.transactions), starts_over))

    def _decode(self, batch: Batch, record: ConsumedRecord) -> None:
        value = record.value
        try:
            if value is not None and len(value) > self._max_bytes:
                raise BadRecord(f"a record of {len(value):,} bytes is above the limit of {self._max_bytes:,}")
            if record.topic == self._alerts_topic:
                alert = FraudAlert.from_record(value, record.key)
                batch.alerts.append((record, self._protection.alert(alert) if self._protection.active else alert))
            else:
                transaction = Transaction.from_record(value, record.key)
                self._check_time(transaction.event_time)
                kept = self._protection.transaction(transaction) if self._protection.active else transaction
                batch.transactions.append((record, kept))
        except BadRecord as error:
            batch.dead.append(DeadRecord(record, error.bare if self._protection.active else str(error)))

    def _check_time(self, event_time: int) -> None:
        """Raise BadRecord for a time too far ahead: it would close the windows of its partition for all that follow."""
        now_ms = self._clock_ms()
        latest_ms = now_ms + self._max_ahead_s * 1_000
        if event_time <= latest_ms:
            return
        if unit := time_unit(event_time, latest_ms):
            reason = f"event_time: {looks_like(unit)}"
            raise BadRecord(f"{reason} (got {event_time})", reason)
        ahead = timedelta(seconds=(event_time - now_ms) // 1_000)
        reason = f"event_time: at most {timedelta(seconds=self._max_ahead_s)} ahead of the clock is expected"
        raise BadRecord(f"{reason} (got {event_time}, {ahead} ahead)", reason)
