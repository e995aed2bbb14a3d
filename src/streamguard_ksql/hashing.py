"""The partition of a key, as Kafka's default partitioner chooses it: murmur2 of the key's bytes.

Source: Kafka's documentation of the default partitioner; MurmurHash2 (Austin Appleby, public domain), seed 0x9747b28c.
"""

from __future__ import annotations

from struct import unpack_from

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    for k in unpack_from(f"<{length // 4}I", data):
        k = (k * _M) & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    rest = data[length & ~3 :]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h = ((h ^ h >> 13) * _M) & _MASK
    return h ^ (h >> 15)


def partition_for(key: bytes | None, partitions: int) -> int:
    """The partition of a key among so many; 0 for no key."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions
