"""One reading of a topic for all the queries over it (a shared scan): each record is fetched once and decoded once.

There is no thread for it. The member that has come to the end of what was read reads on, for all; the others find the
batch there. Who lags behind is waited for while BEHIND records are held for it, as they compete for one core anyway; who
does not move at all for STALL_S is let go, reads by itself, and comes back when it has caught up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.fetching import Fetched, fetch

BEHIND = 1_000
"""How many records are held for the slowest member before the others wait for it: few, so that whoever comes last still
finds in the processor's cache what the first has decoded (a third faster than with 8,000), but more than come during a
commit of a live query."""
STALL_S = 1.0
"""How long they wait for it if it does not move at all."""
REWIND = 50_000
"""A member that is not further back than this takes the whole scan back with it, rather than reading by itself. So does
one that is further back while the others have as far to go: nobody waits for what they would read meanwhile."""


@dataclass(eq=False)
class Member:
    """A query's part in a scan. `positions` are its own, by partition: the next offset that it has not been given."""

    positions: dict[int, int]
    next: int
    """The number of the next piece it has not been given."""
    moved_s: float
    let_go: bool = False


class Scan:
    """The shared reading of one topic. Thread-safe."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers = servers
        self._topic = topic
        self._changed = threading.Condition()
        self._client: Consumer | None = None
        self._members: list[Member] = []
        self._pieces: deque[Fetched] = deque()
        self._first = 0
        self._held = 0
        self._start: dict[int, int] = {}
        """Where the first of the pieces begins: every record from there on has been or will be in one."""
        self._fetching = False
        self._joining = 0
        """How many wait to take the scan back: nobody reads on before they have."""
        self._closed = False

    # --- coming and going ---------------------------------------------------------------------------------------------

    def join(self, positions: dict[int, int]) -> Member | None:
        """Take part from `positions` on; None if they are too far behind those of the others, or the scan is closed.

        A member may be given records from before its positions: it leaves them out.
        """
        with self._changed:
            while self._members:
                behind = sum(max(0, at - positions[p]) for p, at in self._start.items() if p in positions)
                if self._start.keys() != positions.keys() or behind > max(REWIND, self._to_go()):
                    return None
                if not behind or not self._fetching:
                    break
                self._joining += 1
                self._changed.wait()
                self._joining -= 1
            if self._closed:
                return None
            member = Member(positions, self._first, time.monotonic())
            if not self._members or behind:
                self._begin([*self._members, member])
            self._members.append(member)
            self._changed.notify_all()
            return member

    def _to_go(self) -> int:
        """How many records there are up to the end of the topic, as far as the client has been told."""
        assert self._client is not None
        to_go = 0
        for partition, at in self._start.items():
            _, end = self._client.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            to_go += max(0, end - at)
        return to_go

    def leave(self, member: Member) -> None:
        with self._changed:
            self._drop(member)
            if not self._members and self._client is not None:
                # Nobody is left to read for; what was fetched ahead would only fill memory.
                self._client.unassign()

    def close(self) -> None:
        """Let everybody go, and nobody in any more."""
        with self._changed:
            self._closed = True
            for member in list(self._members):
                self._drop(member)
            self._changed.wait_for(lambda: not self._fetching)
            if self._client is not None:
                self._client.close()
                self._client = None

    def _begin(self, members: Sequence[Member]) -> None:
        """Read from where the hindmost of the members stands, partition by partition."""
        self._start = {p: min(m.positions[p] for m in members) for p in members[0].positions}
        self._first += len(self._pieces)
        self._pieces.clear()
        self._held = 0
        for member in members:
            member.next = self._first
        if self._client is None:
            self._client = clients.consumer(self._servers, f"{self._topic}-scan")
        self._client.assign([TopicPartition(self._topic, p, at) for p, at in self._start.items()])

    def _drop(self, member: Member) -> None:
        if member in self._members:
            self._members.remove(member)
        member.let_go = True
        self._forget()
        self._changed.notify_all()

    # --- reading ------------------------------------------------------------------------------------------------------

    def take(self, member: Member, timeout_s: float) -> Fetched | None:
        """The next piece for a member, waiting at most so long for one; None once it has been let go.

        Raises KafkaException where the topic cannot be read.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not member.let_go and member.next - self._first >= len(self._pieces):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return Fetched([], [])
                if self._fetching or self._joining or self._held_up():
                    member.moved_s = time.monotonic()
                    self._changed.wait(remaining)
                    continue
                self._fetch(remaining)
            if member.let_go:
                return None
            piece = self._pieces[member.next - self._first]
            member.next += 1
            member.moved_s = time.monotonic()
            self._forget()
            return piece

    def _held_up(self) -> bool:
        """Whether somebody has to come nearer first; who has not moved for long is let go instead."""
        while self._held >= BEHIND:
            hindmost = min(self._members, key=lambda m: m.next)
            if time.monotonic() - hindmost.moved_s < STALL_S:
                return True
            self._drop(hindmost)
        return False

    def _fetch(self, timeout_s: float) -> None:
        """Read a piece; the lock is given back meanwhile."""
        assert self._client is not None
        self._fetching = True
        self._changed.release()
        found = None
        try:
            found = fetch(self._client, timeout_s)
        finally:
            self._changed.acquire()
            self._fetching = False
            if found is None:
                # The client may have gone over records that nobody was given: all begin anew from their own positions.
                for member in list(self._members):
                    self._drop(member)
            elif found.batches or found.ends:
                self._pieces.append(found)
                self._held += len(found)
            self._changed.notify_all()

    def _forget(self) -> None:
        """Let go of the pieces that every member has been given."""
        needed = min((m.next for m in self._members), default=self._first + len(self._pieces))
        while self._first < needed:
            piece = self._pieces.popleft()
            self._first += 1
            self._held -= len(piece)
            for batch in piece.batches:
                self._start[batch[-1].partition] = batch[-1].offset + 1
            for _, partition, offset in piece.ends:
                self._start[partition] = max(self._start[partition], offset)


class Scans:
    """The scans of an engine, by topic."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._lock = threading.Lock()
        self._scans: dict[str, Scan] = {}

    def of(self, topic: str) -> Scan:
        with self._lock:
            return self._scans.setdefault(topic, Scan(self._servers, topic))

    def close(self) -> None:
        for scan in self._scans.values():
            scan.close()
