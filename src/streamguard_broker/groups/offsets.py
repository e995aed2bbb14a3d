"""Committed offsets and settled groups, in memory and in a state log, in the record formats of `__consumer_offsets`.

    key   version 1: group, topic, partition     value version 3: offset, leader epoch, metadata, commit time
    key   version 2: group                       value version 3: protocol type, generation, protocol, leader, members

Offsets committed within a transaction are kept apart until its marker comes (KIP-98).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from streamguard_broker.groups.group import Group, Member
from streamguard_broker.groups.states import GroupState
from streamguard_broker.storage.batch import TRANSACTIONAL
from streamguard_broker.storage.records import build_batch, control_batch, is_commit_marker, iter_plain_records
from streamguard_broker.storage.statelog import Pair, StateLog

TopicPartition = tuple[str, int]


class Committed(NamedTuple):
    """A committed offset; `committed_ms` is wall time."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int


@dataclass
class GroupOffsets:
    """One group's offsets; `pending` by producer id are those of open transactions."""

    committed: dict[TopicPartition, Committed] = field(default_factory=dict)
    pending: dict[int, dict[TopicPartition, Committed]] = field(default_factory=dict)

    def unstable(self, partition: TopicPartition) -> bool:
        """Whether an open transaction holds an offset for this partition."""
        return any(partition in offsets for offsets in self.pending.values())


class OffsetStore:
    """All groups' offsets. Changes are durable once `log` is flushed."""

    def __init__(self, state: StateLog) -> None:
        """Replays the log; `stored_groups` then holds the last settled generation of each group."""
        self._state = state
        self.log = state.log
        self.groups: dict[str, GroupOffsets] = {}
        self.stored_groups: dict[str, bytes] = {}
        self._epochs: dict[int, int] = {}
        for header, batch in state.replay():
            if header.is_control:
                self._finish(header.producer_id, commit=is_commit_marker(batch))
                continue
            for record in iter_plain_records(batch, header):
                producer = header.producer_id if header.is_transactional else None
                self._apply(record.key or b"", record.value, producer, header.producer_epoch)

    # Offsets

    def commit(self, group: str, offsets: dict[TopicPartition, Committed]) -> None:
        """Store offsets. Raises KafkaError KAFKA_STORAGE_ERROR, with nothing changed."""
        self._state.append([_offset_pair(group, tp, value) for tp, value in offsets.items()])
        self._group(group).committed.update(offsets)
        self._rewrite_if_due()

    def commit_in_transaction(
        self, group: str, producer_id: int, producer_epoch: int, offsets: dict[TopicPartition, Committed]
    ) -> None:
        """Store offsets that count once the producer's transaction commits."""
        self._state.append(
            [_offset_pair(group, tp, value) for tp, value in offsets.items()],
            attributes=TRANSACTIONAL,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
        )
        self._epochs[producer_id] = producer_epoch
        self._group(group).pending.setdefault(producer_id, {}).update(offsets)

    def finish_transaction(self, producer_id: int, producer_epoch: int, *, commit: bool, now_ms: int) -> None:
        """Let a transaction's offsets count, or drop them."""
        if not any(producer_id in g.pending for g in self.groups.values()):
            return
        marker = control_batch(
            commit=commit, producer_id=producer_id, producer_epoch=producer_epoch, timestamp_ms=now_ms
        )
        self._state.append_batch(marker)
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
        """Forget these offsets."""
        known = self.groups.get(group)
        gone = [tp for tp in partitions if known is not None and tp in known.committed]
        if known is None or not gone:
            return
        self._state.append([(_offset_key(group, tp), None) for tp in gone])
        for partition in gone:
            del known.committed[partition]

    def delete_group(self, group: str) -> None:
        """Forget the group and all its offsets."""
        self.delete(group, list(self.fetch(group).committed))
        self.groups.pop(group, None)
        if self.stored_groups.pop(group, None) is not None:
            self._state.append([(_group_key(group), None)])

    def delete_topic(self, topic: str) -> None:
        """Forget every group's offsets of a deleted topic."""
        for group, offsets in self.groups.items():
            self.delete(group, [tp for tp in offsets.committed if tp[0] == topic])

    # Groups

    def store_group(self, group: Group, now_ms: int) -> None:
        """Keep a settled generation, so that its members go on after a restart."""
        value = encode_group(group, now_ms)
        self._state.append([(_group_key(group.group_id), value)])
        self.stored_groups[group.group_id] = value
        self._rewrite_if_due()

    # The log

    def _group(self, group: str) -> GroupOffsets:
        return self.groups.setdefault(group, GroupOffsets())

    def _apply(self, key: bytes, value: bytes | None, producer: int | None, epoch: int) -> None:
        reader = _Reader(key)
        version = reader.int16()
        group = reader.string() or ""
        if version == 2:
            if value is None:
                self.stored_groups.pop(group, None)
            else:
                self.stored_groups[group] = value
            return
        partition = (reader.string() or "", reader.int32())
        if value is None:
            self._group(group).committed.pop(partition, None)
        elif producer is None:
            self._group(group).committed[partition] = _decode_offset(value)
        else:
            self._epochs[producer] = epoch
            self._group(group).pending.setdefault(producer, {})[partition] = _decode_offset(value)

    def _rewrite_if_due(self) -> None:
        if self._state.wants_rewrite:
            self._state.rewrite(self._pairs(), list(self._pending_batches()))

    def _pairs(self) -> Iterator[Pair]:
        for group, offsets in self.groups.items():
            for partition, value in offsets.committed.items():
                yield _offset_pair(group, partition, value)
        for group, stored in self.stored_groups.items():
            yield _group_key(group), stored

    def _pending_batches(self) -> Iterator[bytearray]:
        for group, offsets in self.groups.items():
            for producer_id, pending in offsets.pending.items():
                yield build_batch(
                    [_offset_pair(group, tp, value) for tp, value in pending.items()],
                    max((value.committed_ms for value in pending.values()), default=0),
                    attributes=TRANSACTIONAL,
                    producer_id=producer_id,
                    producer_epoch=self._epochs.get(producer_id, 0),
                )


# Record formats


def _string(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def _bytes(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


class _Reader:
    """Reads the old-style fields of a key or value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, layout: str) -> int:
        value: int = struct.unpack_from(layout, self._data, self._at)[0]
        self._at += struct.calcsize(layout)
        return value

    def int16(self) -> int:
        return self._take(">h")

    def int32(self) -> int:
        return self._take(">i")

    def int64(self) -> int:
        return self._take(">q")

    def string(self) -> str | None:
        length = self.int16()
        return None if length < 0 else self._raw(length).decode()

    def blob(self) -> bytes:
        return self._raw(self.int32())

    def _raw(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]


def _offset_key(group: str, partition: TopicPartition) -> bytes:
    return struct.pack(">h", 1) + _string(group) + _string(partition[0]) + struct.pack(">i", partition[1])


def _offset_pair(group: str, partition: TopicPartition, value: Committed) -> Pair:
    encoded = (
        struct.pack(">hqi", 3, value.offset, value.leader_epoch)
        + _string(value.metadata)
        + struct.pack(">q", value.committed_ms)
    )
    return _offset_key(group, partition), encoded


def _decode_offset(value: bytes) -> Committed:
    reader = _Reader(value)
    reader.int16()
    return Committed(reader.int64(), reader.int32(), reader.string() or "", reader.int64())


def _group_key(group: str) -> bytes:
    return struct.pack(">h", 2) + _string(group)


def encode_group(group: Group, now_ms: int) -> bytes:
    """A settled generation as a group metadata value, version 3."""
    parts = [
        struct.pack(">h", 3),
        _string(group.protocol_type or ""),
        struct.pack(">i", group.generation),
        _string(group.protocol_name),
        _string(group.leader),
        struct.pack(">qi", now_ms, len(group.members)),
    ]
    for member in group.members.values():
        parts += [
            _string(member.member_id),
            _string(member.instance_id),
            _string(member.client_id),
            _string(member.client_host),
            struct.pack(">ii", member.rebalance_timeout_ms, member.session_timeout_ms),
            _bytes(member.metadata(group.protocol_name)),
            _bytes(member.assignment),
        ]
    return b"".join(parts)


def restore_group(group: Group, value: bytes, monotonic_ms: int) -> None:
    """Fill an empty group from a stored generation; its members have a session timeout to show up again."""
    reader = _Reader(value)
    reader.int16()
    group.protocol_type = reader.string() or None
    group.generation = reader.int32()
    group.protocol_name = reader.string()
    group.leader = reader.string()
    reader.int64()
    for _ in range(reader.int32()):
        member_id, instance_id = reader.string() or "", reader.string()
        client_id, client_host = reader.string() or "", reader.string() or ""
        rebalance_timeout_ms, session_timeout_ms = reader.int32(), reader.int32()
        metadata, assignment = reader.blob(), reader.blob()
        member = Member(
            member_id,
            instance_id,
            client_id,
            client_host,
            session_timeout_ms,
            rebalance_timeout_ms,
            [(group.protocol_name or "", metadata)],
            monotonic_ms + session_timeout_ms,
            assignment=assignment,
        )
        group.members[member_id] = member
        if instance_id is not None:
            group.static[instance_id] = member_id
    if group.members:
        group.state = GroupState.STABLE
    else:
        group.empty_since_ms = monotonic_ms
