"""Producer state of a partition: the last batches of each producer (idempotence) and open transactions.

A batch is a duplicate if its sequences match one of the last five of its producer: a client has at most five requests
in flight (KIP-98, KIP-185). All of it is derived from batch headers, so that recovery rebuilds it from the segments.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.batch import NO_PRODUCER_ID, BatchHeader, increment_sequence

REMEMBERED_BATCHES = 5
NO_EPOCH = -1


class Batch(NamedTuple):
    """Sequences and offsets of one appended batch, both ends inclusive."""

    first_sequence: int
    last_sequence: int
    first_offset: int
    last_offset: int


class AbortedTransaction(NamedTuple):
    """A span of offsets that read_committed skips for this producer; `last_offset` is the marker's."""

    producer_id: int
    first_offset: int
    last_offset: int


class ProducerEntry:
    """One producer id in one partition."""

    __slots__ = ("batches", "epoch", "last_timestamp", "transaction_start")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[Batch] = deque(maxlen=REMEMBERED_BATCHES)
        self.last_timestamp = -1
        self.transaction_start: int | None = None


class ProducerStates:
    """All producers of one partition, its open and its aborted transactions."""

    def __init__(self) -> None:
        self.entries: dict[int, ProducerEntry] = {}
        self.aborted: list[AbortedTransaction] = []
        self.open_transactions: dict[int, int] = {}

    def check(self, header: BatchHeader) -> int | None:
        """The base offset of the first append if the batch is a duplicate, None if it may be appended.

        Raises KafkaError INVALID_PRODUCER_EPOCH (a newer epoch has written), OUT_OF_ORDER_SEQUENCE_NUMBER (a gap) or
        INVALID_TXN_STATE (a non-transactional write inside an open transaction).
        """
        entry = self.entries.get(header.producer_id)
        if entry is None:
            return None
        if header.producer_epoch < entry.epoch:
            raise KafkaError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"Producer {header.producer_id} has epoch {entry.epoch}; the batch carries {header.producer_epoch}.",
            )
        if header.producer_epoch > entry.epoch:
            if header.base_sequence != 0 and entry.epoch != NO_EPOCH:
                raise self._gap(header, 0)
            return None
        for batch in entry.batches:
            if batch.first_sequence == header.base_sequence and batch.last_sequence == header.last_sequence:
                return batch.first_offset
        if entry.batches:
            expected = increment_sequence(entry.batches[-1].last_sequence, 1)
            if header.base_sequence != expected:
                raise self._gap(header, expected)
        if entry.transaction_start is not None and not header.is_transactional:
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE, "A non-transactional write inside the producer's open transaction."
            )
        return None

    @staticmethod
    def _gap(header: BatchHeader, expected: int) -> KafkaError:
        return KafkaError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"Producer {header.producer_id}: sequence {header.base_sequence} received, {expected} expected.",
        )

    def update(self, header: BatchHeader, base_offset: int) -> None:
        """Record an appended data batch of an idempotent producer."""
        entry = self._entry(header.producer_id, header.producer_epoch)
        last_offset = base_offset + header.last_offset_delta
        entry.batches.append(Batch(header.base_sequence, header.last_sequence, base_offset, last_offset))
        entry.last_timestamp = header.max_timestamp
        if header.is_transactional and entry.transaction_start is None:
            entry.transaction_start = base_offset
            self.open_transactions[header.producer_id] = base_offset

    def record(self, header: BatchHeader, *, commit: bool) -> None:
        """Record an appended batch, of data or a marker, with its offsets assigned."""
        if header.producer_id == NO_PRODUCER_ID:
            return
        if header.is_control:
            self.complete(header, header.base_offset, commit=commit)
        else:
            self.update(header, header.base_offset)

    def complete(self, header: BatchHeader, marker_offset: int, *, commit: bool) -> None:
        """Record a transaction marker: ends the producer's transaction, keeps its span if it is aborted."""
        entry = self._entry(header.producer_id, header.producer_epoch)
        start = self.open_transactions.pop(header.producer_id, None)
        entry.transaction_start = None
        if start is not None and not commit:
            self.aborted.append(AbortedTransaction(header.producer_id, start, marker_offset))

    def copy_entry(self, producer_id: int, source: ProducerStates) -> None:
        """Take over what `source` knows of a producer, unless it is known here."""
        entry = source.entries.get(producer_id)
        if entry is None or producer_id in self.entries:
            return
        copy = self.entries[producer_id] = ProducerEntry(entry.epoch)
        copy.batches.extend(entry.batches)
        copy.last_timestamp, copy.transaction_start = entry.last_timestamp, entry.transaction_start
        if entry.transaction_start is not None:
            self.open_transactions[producer_id] = entry.transaction_start

    def _entry(self, producer_id: int, epoch: int) -> ProducerEntry:
        entry = self.entries.get(producer_id)
        if entry is None:
            entry = self.entries[producer_id] = ProducerEntry(epoch)
        elif epoch != entry.epoch:
            entry.epoch = epoch
            entry.batches.clear()
        return entry

    def first_unstable_offset(self) -> int | None:
        """Where the oldest open transaction begins; read_committed reads up to there."""
        return min(self.open_transactions.values(), default=None)

    def aborted_between(self, first_offset: int, end_offset: int) -> list[AbortedTransaction]:
        """Aborted transactions that overlap [first_offset, end_offset)."""
        return [a for a in self.aborted if a.last_offset >= first_offset and a.first_offset < end_offset]

    def expire(self, before_ms: int) -> None:
        """Remove idle producers: max timestamp of the last batch before `before_ms`, no transaction open."""
        idle = [
            producer_id
            for producer_id, entry in self.entries.items()
            if entry.last_timestamp < before_ms and entry.transaction_start is None
        ]
        for producer_id in idle:
            del self.entries[producer_id]

    def forget_aborted(self, before_offset: int) -> None:
        """Remove aborted transactions that end before `before_offset`, the log start offset."""
        self.aborted = [a for a in self.aborted if a.last_offset >= before_offset]

    def snapshot(self) -> dict[str, Any]:
        """Plain lists and numbers, for a checkpoint file."""
        return {
            "producers": [
                [
                    producer_id,
                    entry.epoch,
                    entry.last_timestamp,
                    entry.transaction_start,
                    [list(b) for b in entry.batches],
                ]
                for producer_id, entry in self.entries.items()
            ],
            "aborted": [list(a) for a in self.aborted],
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> ProducerStates:
        """The inverse of `snapshot`."""
        states = cls()
        for producer_id, epoch, last_timestamp, transaction_start, batches in data["producers"]:
            entry = states.entries[producer_id] = ProducerEntry(epoch)
            entry.last_timestamp = last_timestamp
            entry.transaction_start = transaction_start
            entry.batches.extend(Batch(*b) for b in batches)
            if transaction_start is not None:
                states.open_transactions[producer_id] = transaction_start
        states.aborted = [AbortedTransaction(*a) for a in data["aborted"]]
        return states
