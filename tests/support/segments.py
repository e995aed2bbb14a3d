"""The segment files of a broker that is stopped, damaged as a disk might."""

from __future__ import annotations

import struct
from pathlib import Path

_BASE_OFFSET, _LENGTH, _LAST_DELTA = struct.Struct(">q"), struct.Struct(">8xi"), struct.Struct(">23xi")
_BEFORE_LENGTH = 12


def corrupt_batch(data_dir: Path, topic: str, content: bytes, partition: int = 0) -> range:
    """Change a bit in the first place where a partition's segments have these bytes, so that the CRC of its batch no longer
    matches; the offsets of that batch."""
    for segment in sorted((data_dir / "logs" / f"{topic}-{partition}").glob("*.log")):
        data = bytearray(segment.read_bytes())
        found = data.find(content)
        if found >= 0:
            data[found] ^= 1
            segment.write_bytes(data)
            return _offsets(data, found)
    raise AssertionError(f"no segment of {topic}-{partition} has {content!r}")


def _offsets(data: bytearray, place: int) -> range:
    """The offsets of the batch that this place is in."""
    at = 0
    while (end := at + _BEFORE_LENGTH + _LENGTH.unpack_from(data, at)[0]) <= place:
        at = end
    first = _BASE_OFFSET.unpack_from(data, at)[0]
    return range(first, first + _LAST_DELTA.unpack_from(data, at)[0] + 1)
