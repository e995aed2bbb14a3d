"""Record formats of `__consumer_offsets`, big-endian, with strings as int16 length and UTF-8 (-1: null).

key version 1: group, topic, partition     value version 3: offset, leader epoch, metadata, commit time
key version 2: group                       value version 3: protocol type, generation, protocol, leader, time, members
key version 3: group                       value: a group of the consumer protocol (`groups.consumer_formats`)
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from streamguard_broker.groups.group import Group
from streamguard_broker.groups.member import Member
from streamguard_broker.groups.states import GroupState
from streamguard_broker.storage.statelog import Pair

TopicPartition = tuple[str, int]


class Committed(NamedTuple):
    """A committed offset; `committed_ms` is wall time."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int


class Key(NamedTuple):
    """A decoded key; `partition` is None in the key of a group; `consumer`: it is one of the consumer protocol."""

    group: str
    partition: TopicPartition | None
    consumer: bool = False


def decode_key(data: bytes) -> Key:
    """The inverse of `offset_key` and `group_key`."""
    reader = _Reader(data)
    version = reader.int16()
    group = reader.string() or ""
    if version in (2, 3):
        return Key(group, None, version == 3)
    return Key(group, (reader.string() or "", reader.int32()))


def _string(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def _bytes(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


class _Reader:
    """Decodes the fields of a key or value."""

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


def offset_key(group: str, partition: TopicPartition) -> bytes:
    """The key of a committed offset."""
    return struct.pack(">h", 1) + _string(group) + _string(partition[0]) + struct.pack(">i", partition[1])


def offset_pair(group: str, partition: TopicPartition, value: Committed) -> Pair:
    """Key and value of a committed offset."""
    encoded = (
        struct.pack(">hqi", 3, value.offset, value.leader_epoch)
        + _string(value.metadata)
        + struct.pack(">q", value.committed_ms)
    )
    return offset_key(group, partition), encoded


def decode_offset(value: bytes) -> Committed:
    """The value of a committed offset."""
    reader = _Reader(value)
    reader.int16()
    return Committed(reader.int64(), reader.int32(), reader.string() or "", reader.int64())


def group_key(group: str) -> bytes:
    """The key of a group's generation."""
    return struct.pack(">h", 2) + _string(group)


def consumer_group_key(group: str) -> bytes:
    """The key of a group of the consumer protocol."""
    return struct.pack(">h", 3) + _string(group)


def encode_group(group: Group, now_ms: int) -> bytes:
    """A complete generation as a group metadata value, version 3."""
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
    """Restore an empty group from a stored generation; the session timeouts of its members begin now."""
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
        group.roster.add(member)
    if group.members:
        group.state = GroupState.STABLE
    else:
        group.empty_since_ms = monotonic_ms
