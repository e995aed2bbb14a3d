"""One order for records of several partitions, topics or writers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from streamguard_ksql.operators.record import InputRecord, OutputRecord, Record

R = TypeVar("R", InputRecord, OutputRecord, Record)


def by_time(times: Sequence[Sequence[int]]) -> list[int]:
    """The order of the items of several sequences, as positions in all of them together.

    The earliest is next, the items of a sequence stay in their order: one that is late follows the one before it.
    """
    together = [time for part in times for time in accumulate(part, max)]
    return sorted(range(len(together)), key=together.__getitem__)


def merge_by_time(parts: Sequence[Sequence[R]]) -> list[R]:
    """The records of several sequences as one in the order of `by_time`."""
    parts = [records for records in parts if records]
    if len(parts) < 2:
        return list(parts[0]) if parts else []
    everything = [record for records in parts for record in records]
    return [everything[i] for i in by_time([[r.time for r in records] for records in parts])]
