"""The checkpoint file of a segment: what recovery trusts without reading the batches.

    0   magic                 4 bytes  SGX1
    4   size                  int64    bytes of the segment that the checkpoint covers; they were synced before it
    12  next offset           int64    after the last batch within `size`
    20  max timestamp         int64    ms, -1: none
    28  its offset            int64    base offset of the batch that has it
    36  index entries         int32    n
    40  index                 24 n     see `SparseIndex.to_bytes`
    .   producers' state      JSON     see `ProducerStates.snapshot`
    end CRC32C                uint32   of everything before it

Integers are big-endian, but for the index.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import orjson
from crc32c import crc32c

from streamguard_broker.storage.index import SparseIndex

_FIXED = struct.Struct(">4sqqqqi")
_CRC = struct.Struct(">I")
_MAGIC = b"SGX1"
_ENTRY_BYTES = 24


class Checkpoint(NamedTuple):
    """The fields of the file, in order."""

    size: int
    next_offset: int
    max_timestamp: int
    max_timestamp_offset: int
    sparse_index: SparseIndex
    producers: dict[str, Any]

    def encode(self) -> bytes:
        """The content of the file."""
        fixed = _FIXED.pack(
            _MAGIC, self.size, self.next_offset, self.max_timestamp, self.max_timestamp_offset, len(self.sparse_index)
        )
        body = fixed + self.sparse_index.to_bytes() + orjson.dumps(self.producers)
        return body + _CRC.pack(crc32c(body))

    @classmethod
    def decode(cls, data: bytes | None) -> Checkpoint | None:
        """The inverse of `encode`; None for a file that is absent, torn or of another format."""
        if data is None or len(data) < _FIXED.size + _CRC.size or data[:4] != _MAGIC:
            return None
        if _CRC.unpack(data[-4:])[0] != crc32c(data[:-4]):
            return None
        _, size, next_offset, max_timestamp, max_timestamp_offset, entries = _FIXED.unpack_from(data)
        end = _FIXED.size + _ENTRY_BYTES * entries
        index = SparseIndex.from_bytes(data[_FIXED.size : end])
        return cls(size, next_offset, max_timestamp, max_timestamp_offset, index, orjson.loads(data[end:-4]))
