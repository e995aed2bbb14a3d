"""What became of the records that were sent: which line of the file is at which offset, and what the database says of it.

The consumer stores a batch, its dead letters and its offsets in one database transaction. So once its offset is past a
record, that record is stored or is a dead letter, and both can be counted.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from streamguard.config import Settings, UserError

_POLL_S = 0.1
STALL_S = 30.0
"""How long the consumer may read nothing before one stops waiting for it."""

_OFFSETS = text("SELECT topic, partition_no, next_offset FROM consumer_offsets WHERE group_id = :group")
_DEAD = text(
    "SELECT source_offset, reason FROM dead_letters"
    " WHERE source_topic = :topic AND source_partition = :partition AND source_offset BETWEEN :first AND :last"
    " ORDER BY source_offset"
)


class NotRead(UserError):
    """The consumer does not read what was sent."""


@dataclass(frozen=True)
class DeadLine:
    """A line whose record the consumer refused."""

    line: int
    reason: str


class SentLines:
    """The offset of every line. The callbacks are those of `KafkaSink`; 16 bytes are kept for each record."""

    def __init__(self) -> None:
        self.line = 0
        """The line of the record that is sent next."""
        self._waiting: dict[int, deque[int]] = defaultdict(deque)
        self._lines: dict[int, array[int]] = defaultdict(lambda: array("q"))
        self._offsets: dict[int, array[int]] = defaultdict(lambda: array("q"))

    def on_send(self, partition: int) -> None:
        """The record of `line` goes to this partition."""
        self._waiting[partition].append(self.line)

    def on_stored(self, partition: int, offset: int) -> None:
        """The oldest record on the way to this partition has this offset."""
        self._lines[partition].append(self._waiting[partition].popleft())
        self._offsets[partition].append(offset)

    def ends(self) -> dict[int, int]:
        """The offset behind the last record, by partition."""
        return {partition: offsets[-1] + 1 for partition, offsets in self._offsets.items()}

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """(partition, first offset, last offset) of each partition that has records of ours."""
        for partition, offsets in sorted(self._offsets.items()):
            yield partition, offsets[0], offsets[-1]

    def line_at(self, partition: int, offset: int) -> int | None:
        """The line whose record is there, None for somebody else's record."""
        offsets = self._offsets[partition]
        at = bisect_left(offsets, offset)
        return self._lines[partition][at] if at < len(offsets) and offsets[at] == offset else None


def wait_until_read(
    connection: Connection,
    settings: Settings,
    sent: SentLines,
    stopped: Callable[[], bool],
    advance: Callable[[int], None] = lambda _: None,
    stall_s: float = STALL_S,
) -> bool:
    """Wait until the consumer is past everything that was sent; False if `stopped` says so before.

    `connection` sees what is new with each statement. Raises NotRead if the consumer reads nothing for `stall_s`.
    """
    ends = sent.ends()
    moved_s, moved, before = time.monotonic(), -1, 0
    while True:
        rows = connection.execute(_OFFSETS, {"group": settings.consumer_group}).all()
        read = {row.partition_no: row.next_offset for row in rows if row.topic == settings.transactions_topic}
        total = sum(row.next_offset for row in rows)
        left = sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())
        if left == 0:
            return True
        now_s = time.monotonic()
        if left != before:
            advance(max(0, before - left))
            before = left
        if total != moved:
            # Alerts count as well: a consumer that is busy with them does not stand still.
            moved_s, moved = now_s, total
        elif now_s - moved_s > stall_s:
            raise NotRead(
                f"the consumer has read nothing for {stall_s:.0f} s and has {left:,} records before it: all are in the topic and "
                "will be stored once it runs; `streamguard status` says what stands still"
            )
        if stopped():
            return False
        time.sleep(_POLL_S)


def dead_lines(connection: Connection, settings: Settings, sent: SentLines) -> list[DeadLine]:
    """The lines that became dead letters, in the order of the file."""
    found = []
    for partition, first, last in sent.spans():
        place = {"topic": settings.transactions_topic, "partition": partition, "first": first, "last": last}
        for row in connection.execute(_DEAD, place):
            line = sent.line_at(partition, row.source_offset)
            if line is not None:
                found.append(DeadLine(line, row.reason))
    return sorted(found, key=lambda dead: dead.line)
