"""The scans of an engine, driven: the lock, the consumer and the clock around `shared_scan`.

No scan has a thread: the member that has been given all that was fetched fetches the next batch on its own thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, TopicPartition

from streamguard_ksql.runtime import clients, corrupt
from streamguard_ksql.runtime.clients import BATCH, Servers
from streamguard_ksql.runtime.fetch import Fetched, fetch
from streamguard_ksql.runtime.shared_scan import Joined, Limits, Member, ScanState, SharedScan, Step


def pause_s(members: int) -> float:
    """How long after a batch that was not full the next is fetched: where records come a few at a time, as live ones do,
    waking all members for each few costs many times what the records cost. A hundredth of a second for 8 members, six for
    20 and more; what two rules share is hardly held up."""
    return min(0.06, members * members * 0.00015)


class Scan:
    """The shared reading of one topic. Thread-safe."""

    def __init__(self, servers: Servers, topic: str, limits: Limits | None = None) -> None:
        self._servers = servers
        self.topic = topic
        self._changed = threading.Condition()
        self._client: Consumer | None = None
        self._scan = SharedScan(limits)
        self._not_before_s = 0.0
        """When the next fetch may begin."""
        self._to_go = 0
        """Records from where the scan is up to the end of the topic, as of the last fetch. Not asked of the consumer when
        a query joins: it answers only once the fetch that another thread waits in is over."""

    def join(self, positions: dict[int, int]) -> Member | None:
        """Take part from `positions` on; None if they are too far behind those of the others, or the scan is closed."""
        with self._changed:
            joined = self._scan.join(positions, self._to_go, time.monotonic())
            while joined is Step.WAIT:
                self._changed.wait()
                joined = self._scan.join(positions, self._to_go, time.monotonic(), waited=True)
            self._wake()
            if not isinstance(joined, Joined):
                return None
            if joined.assign is not None:
                self._assign(joined.assign)
            return joined.member

    def _left(self, client: Consumer) -> int:
        """Records from where the scan is up to the end of the topic, as far as the consumer of the calling thread knows."""
        left = 0
        for partition, at in self._scan.start.items():
            _, end = client.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
            left += max(0, end - at)
        return left

    def _assign(self, positions: Mapping[int, int]) -> None:
        if self._client is None:
            self._client = clients.consumer(self._servers, f"{self.topic}-scan")
        self._client.assign([TopicPartition(self.topic, p, at) for p, at in positions.items()])

    def leave(self, member: Member) -> None:
        with self._changed:
            self._scan.evict([member])
            if self._scan.state is ScanState.IDLE and self._client is not None:
                # No member is left to fetch for; what the consumer fetches ahead would only fill memory.
                self._client.unassign()
            self._wake()

    def close(self) -> None:
        """Evict all members, and let no query join any more."""
        with self._changed:
            self._scan.close()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._scan.state is ScanState.CLOSED)
            if self._client is not None:
                self._client.close()
                self._client = None

    def take(self, member: Member, timeout_s: float) -> Fetched | None:
        """The next batch for a member, waiting at most so long for one; None once it has been evicted.

        Raises KafkaException where the topic cannot be read.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            try:
                return self._take(member, deadline)
            finally:
                self._wake()

    def _take(self, member: Member, deadline: float) -> Fetched | None:
        while True:
            step = self._scan.next(member, time.monotonic())
            if not isinstance(step, Step):
                return step
            if step is Step.EVICTED:
                return None
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return Fetched([], [])
            if step is Step.WAIT:
                self._changed.wait(remaining)
            else:
                self._fetch(remaining)

    def _wake(self) -> None:
        """Wake the member that has waited longest; when it has what it waited for it wakes the next.

        All at once would stand in line for the interpreter, and look several times each whether it is their turn. All are
        woken where somebody waits for something else than a batch.
        """
        if self._scan.state in (ScanState.READING, ScanState.FETCHING):
            self._changed.notify()
        else:
            self._changed.notify_all()

    def _fetch(self, timeout_s: float) -> None:
        """Fetch a batch; the lock is released meanwhile."""
        assert self._client is not None
        self._scan.fetch()
        wait_s = min(timeout_s, self._not_before_s - time.monotonic())
        self._changed.release()
        found = None
        try:
            if wait_s > 0:
                time.sleep(wait_s)
            found = fetch(self._client, self._servers, max(0.0, timeout_s - max(0.0, wait_s)))
        finally:
            self._changed.acquire()
            is_full = found is not None and len(found) >= BATCH
            self._to_go = self._left(self._client) if is_full else 0
            self._not_before_s = 0.0 if is_full else time.monotonic() + pause_s(len(self._scan.members))
            if found is not None and found.lost:
                corrupt.abandon(self._client)
                self._client = None
                self._assign(self._scan.positions_after(found))
            self._scan.fetched(found)
            self._wake()


class Scans:
    """The scans of an engine, by topic and partitions: where engines divide queries, those that are not divided read more."""

    def __init__(self, servers: Servers, limits: Limits | None = None) -> None:
        self._servers = servers
        self._limits = limits
        self._lock = threading.Lock()
        self._scans: dict[tuple[str, frozenset[int]], Scan] = {}

    def of(self, topic: str, partitions: Iterable[int]) -> Scan:
        """The scan of these partitions of a topic."""
        wanted = (topic, frozenset(partitions))
        with self._lock:
            return self._scans.setdefault(wanted, Scan(self._servers, topic, self._limits))

    def close(self) -> None:
        for scan in self._scans.values():
            scan.close()
