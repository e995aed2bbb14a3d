"""The bytes that the consumer reads as transactions, alerts or dead letters, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from streamguard.models import BadRecord, FraudAlert, Transaction
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


@dataclass(slots=True)
class Batch:
    """Records read together and stored together. Lists keep the order of the topic within each partition."""

    spans: dict[tuple[str, int], Span] = field(default_factory=dict)
    transactions: list[tuple[ConsumedRecord, Transaction]] = field(default_factory=list)
    alerts: list[tuple[ConsumedRecord, FraudAlert]] = field(default_factory=list)
    dead: list[DeadRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.transactions) + len(self.alerts) + len(self.dead)

    def __bool__(self) -> bool:
        return bool(self.spans)


class Decoder:
    """Turns records into batches. One topic carries alerts, all else are transactions; a record has a largest size.

    Its transactions and alerts are protected already; the record beside each is as it came.
    """

    def __init__(self, alerts_topic: str, max_bytes: int, protection: Protection = NO_PROTECTION) -> None:
        self._alerts_topic = alerts_topic
        self._max_bytes = max_bytes
        self._protection = protection

    def add(self, batch: Batch, expected: int, records: Iterable[ConsumedRecord]) -> None:
        """Decode the records of one partition, whose stored offset is `expected`, into `batch`."""
        span = None
        for record in records:
            if span is None:
                span = batch.spans.setdefault((record.topic, record.partition), Span(expected, expected))
            self._decode(batch, record)
            span.next_offset = record.offset + 1
            span.records += 1

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
                kept = self._protection.transaction(transaction) if self._protection.active else transaction
                batch.transactions.append((record, kept))
        except BadRecord as error:
            batch.dead.append(DeadRecord(record, error.bare if self._protection.active else str(error)))
