"""Damage to what a broker has on its disk: the records of a batch change, its checksum stays."""

from __future__ import annotations

import struct
from pathlib import Path


def corrupt_batch(data_dir: Path, topic: str, partition: int, offset: int) -> range:
    """Flip a byte in the records of the batch that has this offset; returns its offsets. ValueError if there is none.

    The layout is that of Kafka and of our broker: batches one after the other in `*.log`, 61 bytes of header each.
    """
    for segment in sorted(data_dir.rglob(f"{topic}-{partition}/*.log")):
        data = bytearray(segment.read_bytes())
        at = 0
        while at + 61 <= len(data):
            base, length = struct.unpack_from(">qi", data, at)
            behind = base + struct.unpack_from(">i", data, at + 23)[0] + 1
            if base <= offset < behind:
                data[at + length + 11] ^= 0xFF
                with segment.open("r+b") as file:
                    file.seek(at + length + 11)
                    file.write(data[at + length + 11 : at + length + 12])
                return range(base, behind)
            at += length + 12
    raise ValueError(f"no batch of {topic}-{partition} below {data_dir} has offset {offset}")
