"""Committed offsets and generations of groups, in memory and in a state log (`groups.formats`).

Offsets committed within a transaction are kept apart until its marker is appended (KIP-98).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streamguard_broker.groups.formats import (
    Committed,
    Key,
    TopicPartition,
    consumer_group_key,
    decode_key,
    decode_offset,
    encode_group,
    group_key,
    offset_key,
    offset_pair,
)
from streamguard_broker.groups.group import Group
from streamguard_broker.storage.batch import TRANSACTIONAL
from streamguard_broker.storage.records import (
    build_batch,
    control_batch,
    is_commit_marker,
    iter_plain_records,
)
from streamguard_broker.storage.statelog import Pair, StateLog


@dataclass
class GroupOffsets:
    """One group's offsets; `pending`, by producer id, are those of open transactions."""

    committed: dict[TopicPartition, Committed] = field(default_factory=dict)
    pending: dict[int, dict[TopicPartition, Committed]] = field(default_factory=dict)

    def unstable(self, partition: TopicPartition) -> bool:
        """Whether an open transaction has an offset for this partition."""
        return any(partition in offsets for offsets in self.pending.values())


@dataclass(eq=False)
class Commit:
    """Offsets of a group that are queued to be stored, and are not visible yet."""

    group: str
    offsets: dict[TopicPartition, Committed]


class OffsetStore:
    """All groups' offsets. Changes are durable once `log` is flushed."""

    def __init__(self, state: StateLog) -> None:
        """Replays the state log; `stored_groups` then has the last generation of each classic group, encoded, and
        `stored_consumer_groups` those of the consumer protocol."""
        self.state = state
        self.log = state.log
        self.groups: dict[str, GroupOffsets] = {}
        self.stored_groups: dict[str, bytes] = {}
        self.stored_consumer_groups: dict[str, bytes] = {}
        self._epochs: dict[int, int] = {}
        self._commits: list[Commit] = []
        for header, batch in state.replay():
            if header.is_control:
                self._finish(header.producer_id, commit=is_commit_marker(batch))
                continue
            for record in iter_plain_records(batch, header):
                producer = header.producer_id if header.is_transactional else None
                self._apply(decode_key(record.key or b""), record.value, producer, header.producer_epoch)

    # Offsets

    def begin_commit(self, group: str, offsets: dict[TopicPartition, Committed]) -> Commit:
        """Queue offsets; `end_commit` makes them visible, once `log` is flushed. Raises KafkaError KAFKA_STORAGE_ERROR."""
        self.state.append([offset_pair(group, tp, value) for tp, value in offsets.items()])
        commit = Commit(group, dict(offsets))
        self._commits.append(commit)
        self._rewrite_if_due()
        return commit

    def end_commit(self, commit: Commit, *, stored: bool) -> None:
        """The offsets of `commit` are on disk, but for those deleted meanwhile, or could not be stored."""
        self._commits.remove(commit)
        if stored and commit.offsets:
            self._group(commit.group).committed.update(commit.offsets)

    def commit_in_transaction(
        self, group: str, producer_id: int, producer_epoch: int, offsets: dict[TopicPartition, Committed]
    ) -> None:
        """Store offsets that take effect once the producer's transaction commits."""
        self.state.append(
            [offset_pair(group, tp, value) for tp, value in offsets.items()],
            attributes=TRANSACTIONAL,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
        )
        self._epochs[producer_id] = producer_epoch
        self._group(group).pending.setdefault(producer_id, {}).update(offsets)

    def finish_transaction(self, producer_id: int, producer_epoch: int, *, commit: bool, now_ms: int) -> None:
        """Apply a transaction's offsets, or drop them."""
        if not any(producer_id in g.pending for g in self.groups.values()):
            return
        marker = control_batch(
            commit=commit, producer_id=producer_id, producer_epoch=producer_epoch, timestamp_ms=now_ms
        )
        self.state.append_batch(marker)
        self._finish(producer_id, commit=commit)

    def _finish(self, producer_id: int, *, commit: bool) -> None:
        for offsets in self.groups.values():
            pending = offsets.pending.pop(producer_id, None)
            if pending and commit:
                offsets.committed.update(pending)
        self._epochs.pop(producer_id, None)

    def fetch(self, group: str) -> GroupOffsets:
        """A group's offsets, empty if it has none."""
        return self.groups.get(group) or GroupOffsets()

    def delete(self, group: str, partitions: list[TopicPartition]) -> None:
        """Delete these offsets."""
        for commit in self._commits:
            if commit.group == group and any(commit.offsets.pop(tp, None) for tp in partitions):
                self.state.append([(offset_key(group, tp), None) for tp in partitions])
        known = self.groups.get(group)
        found = [tp for tp in partitions if known is not None and tp in known.committed]
        if known is None or not found:
            return
        self.state.append([(offset_key(group, tp), None) for tp in found])
        for partition in found:
            del known.committed[partition]

    def delete_group(self, group: str) -> None:
        """Delete the group and all its offsets."""
        queued = [tp for commit in self._commits if commit.group == group for tp in commit.offsets]
        self.delete(group, [*self.fetch(group).committed, *queued])
        self.groups.pop(group, None)
        self.forget_group(group)

    def delete_topic(self, topic: str) -> None:
        """Delete every group's offsets of a deleted topic."""
        for commit in self._commits:
            self.delete(commit.group, [tp for tp in commit.offsets if tp[0] == topic])
        for group, offsets in self.groups.items():
            self.delete(group, [tp for tp in offsets.committed if tp[0] == topic])

    # Groups

    def store_group(self, group: Group, now_ms: int) -> None:
        """Store a complete generation, so that its members continue in it after a restart."""
        value = encode_group(group, now_ms)
        self.state.append([(group_key(group.group_id), value)])
        self.stored_groups[group.group_id] = value
        self._rewrite_if_due()

    def store_consumer_group(self, group_id: str, value: bytes) -> None:
        """Store a group of the consumer protocol, encoded. Raises KafkaError KAFKA_STORAGE_ERROR."""
        self.state.append([(consumer_group_key(group_id), value)])
        self.stored_consumer_groups[group_id] = value
        self._rewrite_if_due()

    def forget_group(self, group: str) -> None:
        """Delete what is stored of the group, of either protocol; its offsets stay."""
        if self.stored_groups.pop(group, None) is not None:
            self.state.append([(group_key(group), None)])
        if self.stored_consumer_groups.pop(group, None) is not None:
            self.state.append([(consumer_group_key(group), None)])

    # The state log

    def _group(self, group: str) -> GroupOffsets:
        return self.groups.setdefault(group, GroupOffsets())

    def _apply(self, key: Key, value: bytes | None, producer: int | None, epoch: int) -> None:
        if key.partition is None:
            stored = self.stored_consumer_groups if key.consumer else self.stored_groups
            if value is None:
                stored.pop(key.group, None)
            else:
                stored[key.group] = value
        elif value is None:
            self._group(key.group).committed.pop(key.partition, None)
        elif producer is None:
            self._group(key.group).committed[key.partition] = decode_offset(value)
        else:
            self._epochs[producer] = epoch
            self._group(key.group).pending.setdefault(producer, {})[key.partition] = decode_offset(value)

    def _rewrite_if_due(self) -> None:
        if self.state.wants_rewrite:
            self.state.rewrite(self._pairs(), list(self._pending_batches()))

    def _pairs(self) -> Iterator[Pair]:
        for group, offsets in self.groups.items():
            for partition, value in offsets.committed.items():
                yield offset_pair(group, partition, value)
        for commit in self._commits:
            for partition, value in commit.offsets.items():
                yield offset_pair(commit.group, partition, value)
        for group, stored in self.stored_groups.items():
            yield group_key(group), stored
        for group, stored in self.stored_consumer_groups.items():
            yield consumer_group_key(group), stored

    def _pending_batches(self) -> Iterator[bytearray]:
        for group, offsets in self.groups.items():
            for producer_id, pending in offsets.pending.items():
                yield build_batch(
                    [offset_pair(group, tp, value) for tp, value in pending.items()],
                    max((value.committed_ms for value in pending.values()), default=0),
                    attributes=TRANSACTIONAL,
                    producer_id=producer_id,
                    producer_epoch=self._epochs.get(producer_id, 0),
                )
