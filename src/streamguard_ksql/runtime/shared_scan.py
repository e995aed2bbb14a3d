"""One scan of a topic for all the queries over it, as a state machine without I/O: no thread, socket or clock.

A scan has members, one per query, and the batches that were fetched and that some member has not been given. A member
that has been given all of them fetches the next, for all. `scans` drives the machine: it has the lock, the consumer and
the time, asks `next` what a member has to do, and reports back with `fetched`.

Invariants: the batches are those numbered `first` to `first + len(batches) - 1`; every record from `start` on has been or
will be in a batch; at most one member fetches; a member is given each batch once, in order.

Limits keep memory bounded without letting one query delay the others: the members wait for one that lags, and one that
makes no progress is evicted, reads by itself, and joins again when it has caught up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from streamguard_ksql.runtime.fetch import Fetched


class ScanState(Enum):
    """What a scan is doing."""

    IDLE = auto()
    """No members."""
    READING = auto()
    """Members, and none of them fetches."""
    FETCHING = auto()
    """A member fetches the next batch."""
    DRAINING = auto()
    """A member fetches, and a query waits for its end to rewind the scan."""
    REWINDING = auto()
    """A query is about to rewind the scan: no fetch begins before it has."""
    CLOSING = auto()
    """Closed, but the last fetch has not ended."""
    CLOSED = auto()


class Event(Enum):
    """What changes the state."""

    JOINED = auto()
    JOIN_WAITS = auto()
    """The first query waits to rewind."""
    JOIN_SETTLED = auto()
    """No query waits any more."""
    EMPTIED = auto()
    """The last member has gone."""
    FETCH = auto()
    FETCHED = auto()
    CLOSE = auto()


TRANSITIONS: dict[ScanState, dict[Event, ScanState]] = {
    ScanState.IDLE: {
        Event.JOINED: ScanState.READING,
        Event.CLOSE: ScanState.CLOSED,
    },
    ScanState.READING: {
        Event.JOINED: ScanState.READING,
        Event.EMPTIED: ScanState.IDLE,
        Event.FETCH: ScanState.FETCHING,
        Event.CLOSE: ScanState.CLOSED,
    },
    ScanState.FETCHING: {
        Event.JOINED: ScanState.FETCHING,
        Event.JOIN_WAITS: ScanState.DRAINING,
        Event.EMPTIED: ScanState.FETCHING,
        Event.FETCHED: ScanState.READING,
        Event.CLOSE: ScanState.CLOSING,
    },
    ScanState.DRAINING: {
        Event.JOINED: ScanState.DRAINING,
        Event.JOIN_SETTLED: ScanState.FETCHING,
        Event.EMPTIED: ScanState.DRAINING,
        Event.FETCHED: ScanState.REWINDING,
        Event.CLOSE: ScanState.CLOSING,
    },
    ScanState.REWINDING: {
        Event.JOINED: ScanState.REWINDING,
        Event.JOIN_SETTLED: ScanState.READING,
        Event.EMPTIED: ScanState.REWINDING,
        Event.CLOSE: ScanState.CLOSED,
    },
    ScanState.CLOSING: {
        Event.JOIN_SETTLED: ScanState.CLOSING,
        Event.FETCHED: ScanState.CLOSED,
        Event.CLOSE: ScanState.CLOSING,
    },
    ScanState.CLOSED: {
        Event.JOIN_SETTLED: ScanState.CLOSED,
        Event.CLOSE: ScanState.CLOSED,
    },
}
"""state -> event -> the state after it; an event that is not in the table cannot happen in that state."""


@dataclass(frozen=True)
class Limits:
    """How far members may be apart.

    behind: records kept for the slowest member before the others wait for it. Few, so that the last one still finds in
    the processor's cache what the first has decoded (a third faster than with 8,000), but more than arrive during a
    commit of a live query.
    stall_s: seconds that they wait for a member that makes no progress at all.
    rewind: records that a query may be further back and still take the whole scan back with it. One that is further back
    does so while the others have as far to go: it delays no more than they would read meanwhile.
    """

    behind: int = 1_000
    stall_s: float = 1.0
    rewind: int = 50_000


@dataclass(eq=False)
class Member:
    """A query's part in a scan. `positions` are its own, by partition: the next offset that it has not been given."""

    positions: dict[int, int]
    next: int
    """The number of the next batch it has not been given."""
    last_progress_s: float
    evicted: bool = False


@dataclass(frozen=True)
class Joined:
    """The new member; and where the consumer has to read from if the scan begins or is rewound, by partition."""

    member: Member
    assign: Mapping[int, int] | None


class Step(Enum):
    """What a member has to do if there is no batch for it."""

    FETCH = auto()
    WAIT = auto()
    EVICTED = auto()


class SharedScan:
    """The state machine. Not thread-safe: `scans.Scan` has the lock."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.state = ScanState.IDLE
        self.members: list[Member] = []
        self.start: dict[int, int] = {}
        """Where the first of the batches begins, by partition."""
        self.kept = 0
        """Records in the batches."""
        self._batches: deque[Fetched] = deque()
        self._first = 0
        self._waiting = 0

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    # --- members ------------------------------------------------------------------------------------------------------

    def join(
        self, positions: dict[int, int], to_go: int, now_s: float, *, waited: bool = False
    ) -> Joined | Step | None:
        """Take part from `positions` on, while the consumer has `to_go` records to the end of the topic.

        Step.WAIT where a fetch has to end first: call again with `waited` when it has. None where the positions are too
        far behind those of the others, or the scan is closed. A member may be given records from before its positions:
        it leaves them out.
        """
        if waited:
            self._settle()
        if self.state in (ScanState.CLOSING, ScanState.CLOSED):
            return None
        behind = sum(max(0, at - positions[p]) for p, at in self.start.items() if p in positions)
        if self.members:
            if self.start.keys() != positions.keys() or behind > max(self.limits.rewind, to_go):
                return None
            if behind and self.state in (ScanState.FETCHING, ScanState.DRAINING):
                self._wait()
                return Step.WAIT
        rewinds = not self.members or behind > 0
        member = Member(positions, self._first, now_s)
        self.members.append(member)
        if rewinds:
            self._rewind()
        self._move(Event.JOINED)
        return Joined(member, dict(self.start) if rewinds else None)

    def _wait(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._move(Event.JOIN_WAITS)

    def _settle(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._move(Event.JOIN_SETTLED)

    def _rewind(self) -> None:
        """Begin where the slowest of the members is, partition by partition."""
        self.start = {p: min(m.positions[p] for m in self.members) for p in self.members[0].positions}
        self._first += len(self._batches)
        self._batches.clear()
        self.kept = 0
        for member in self.members:
            member.next = self._first

    def evict(self, members: Sequence[Member]) -> None:
        """Take members out; they are not given any more."""
        for member in members:
            member.evicted = True
        remaining = [m for m in self.members if not m.evicted]
        emptied = bool(self.members) and not remaining
        self.members = remaining
        self._forget()
        if emptied and self.state not in (ScanState.CLOSING, ScanState.CLOSED):
            self._move(Event.EMPTIED)

    def close(self) -> None:
        """Evict all members, and let no query join any more."""
        self._move(Event.CLOSE)
        self.evict(list(self.members))

    # --- batches ------------------------------------------------------------------------------------------------------

    def next(self, member: Member, now_s: float) -> Fetched | Step:
        """The next batch for a member; or what it has to do: fetch (see `fetch`), wait for a change, or read by itself."""
        if member.evicted:
            return Step.EVICTED
        if member.next - self._first < len(self._batches):
            batch = self._batches[member.next - self._first]
            member.next += 1
            member.last_progress_s = now_s
            self._forget()
            return batch
        if self.state is not ScanState.READING or self._must_wait(now_s):
            member.last_progress_s = now_s
            return Step.WAIT
        return Step.FETCH

    def _must_wait(self, now_s: float) -> bool:
        """Whether the slowest member has to come nearer first; one that makes no progress is evicted instead."""
        while self.kept >= self.limits.behind:
            slowest = min(self.members, key=lambda m: m.next)
            if now_s - slowest.last_progress_s < self.limits.stall_s:
                return True
            self.evict([slowest])
        return False

    def fetch(self) -> None:
        """A member begins to fetch, as `next` asked for."""
        self._move(Event.FETCH)

    def fetched(self, found: Fetched | None) -> None:
        """The fetch has ended: with what it found, or with an error (None).

        After an error the consumer may have gone over records that no member was given: all members are evicted, and begin
        again from their own positions.
        """
        self._move(Event.FETCHED)
        if found is None:
            self.evict(list(self.members))
        elif found.batches or found.ends:
            self._batches.append(found)
            self.kept += len(found)
            self._forget()
        if self.state is ScanState.READING and not self.members:
            self._move(Event.EMPTIED)

    def positions_after(self, found: Fetched) -> dict[int, int]:
        """Where the fetch after the one that brought `found` begins, by partition."""
        positions = dict(self.start)
        for batch in (*self._batches, found):
            _advance(positions, batch)
        return positions

    def _forget(self) -> None:
        """Drop the batches that every member has been given."""
        needed = min((m.next for m in self.members), default=self._first + len(self._batches))
        while self._first < needed:
            batch = self._batches.popleft()
            self._first += 1
            self.kept -= len(batch)
            _advance(self.start, batch)


def _advance(positions: dict[int, int], batch: Fetched) -> None:
    """Move positions, by partition, to behind a batch."""
    for records in batch.batches:
        positions[records[-1].partition] = records[-1].offset + 1
    for _, partition, offset in batch.ends:
        positions[partition] = max(positions[partition], offset)
