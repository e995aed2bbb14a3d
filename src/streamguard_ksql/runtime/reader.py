"""Reading the topics of a query: positions, batches, and the order between several topics.

A query over one topic takes records as they come, together with the others that read it (see `shared_scan`). One over
several takes the record with the earliest time next (see `time_order`), and so does one of which `ahead_ms` says how far a
partition may be ahead of the others; `times_of` reads times that are in columns. Of several topics one may be read together
with others, too: the stream of a join with tables, which is where the records are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from confluent_kafka import Consumer, TopicPartition

from streamguard_ksql.operators.record import Batch
from streamguard_ksql.runtime.clients import BATCH, KafkaTopics, Positions, as_partitions
from streamguard_ksql.runtime.corrupt import LostBatch, abandon
from streamguard_ksql.runtime.fetch import Fetched, fetch
from streamguard_ksql.runtime.scans import Scan, Scans
from streamguard_ksql.runtime.shared_scan import Member
from streamguard_ksql.runtime.time_order import Place, TimeOrder, TimesOf

MOST_HELD = 10_000
"""Records of one partition that wait for another one before no more are fetched of it."""
FETCHED_AT_ONCE = 8
"""How many full batches are taken from the consumer before the ends of the topics are asked for."""
ASK_EVERY_S = 0.1
"""How often a client is asked that only has answers for us: asking gives the interpreter to another thread."""


class Reader:
    """The input of one query: partitions of its topics. `positions` is always the next offset that it has not yet been given.

    Where nothing is `known`, topics `from_beginning` are read from their first record, others from their end.
    `together` is the topic, if any, whose records are taken from `scans`; the only topic always is.
    `client` is its consumer, which it closes, by default the first that `connect` makes; another has to replace one that
    met a corrupt batch. `lost` is called for each corrupt batch that the query has to do without.
    """

    def __init__(
        self,
        connect: Callable[[], Consumer],
        topics: KafkaTopics,
        partitions: Mapping[str, Iterable[int]],
        known: Positions,
        *,
        from_beginning: Collection[str],
        scans: Scans | None = None,
        together: str | None = None,
        times_of: Mapping[str, TimesOf] | None = None,
        ahead_ms: int | None = None,
        lost: Callable[[LostBatch], None],
        client: Consumer | None = None,
    ) -> None:
        self.client = client or connect()
        self._connect = connect
        self._servers = topics.servers
        self._lost = lost
        self.positions: Positions = {topic: {} for topic in partitions}
        self._topics = topics
        self._wanted = [TopicPartition(t, p) for t, numbers in partitions.items() for p in numbers]
        starts, self._ends = topics.offsets(self._wanted)
        for tp in self._wanted:
            low, high = starts[(tp.topic, tp.partition)], self._ends[(tp.topic, tp.partition)]
            position = known.get(tp.topic, {}).get(tp.partition)
            if position is None or position < 0 or position > high:
                # Nothing known, or the topic is another one than it was: as Kafka's auto.offset.reset has it.
                position = low if tp.topic in from_beginning else high
            self.positions[tp.topic][tp.partition] = max(low, position)
        merges = len(partitions) > 1 or (ahead_ms is not None and len(self._wanted) > 1)
        ahead = ahead_ms if ahead_ms is not None and len(partitions) == 1 else 0
        self._order = TimeOrder(self.positions, times_of, ahead) if merges else None
        self._came_s = 0.0
        """When the newest of the records here had come."""
        self._paused: set[Place] = set()
        if len(partitions) == 1:
            together = self._wanted[0].topic
        self._together = together
        self._ask_at_s = 0.0
        """When a client that fetches nothing is asked next."""
        self._scan = None
        if scans is not None and together is not None:
            self._scan = scans.of(together, self.positions[together])
        self._member: Member | None = None
        self._next: dict[int, int] = {}
        """Of the topic that is read together, while this is a member: the next offset that it has not been given."""
        self._assigned: frozenset[str] = frozenset()
        """The topics that its own client fetches."""

    def close(self) -> None:
        """Leave what is read together, and close the client."""
        self._leave()
        self.client.close()

    def rest(self) -> None:
        """Fetch nothing, and keep no other query waiting, until the next `poll` goes on from here."""
        self._leave()
        self._assign(frozenset())

    def poll(self, timeout_s: float) -> Sequence[tuple[int, Batch]]:
        """Batches of (partition, records of one topic in order), waiting at most so long for the first record."""
        if self._order is not None:
            return self._poll_in_order(self._order, timeout_s)
        fetched = self._fetch(timeout_s)
        batches = [self._new(batch) for batch in fetched.batches]
        for batch in batches:
            if batch:
                self.positions[batch[-1].topic][batch[-1].partition] = batch[-1].offset + 1
        for topic, partition, offset in fetched.ends:
            # Also over offsets without records: control records, aborted, compacted and corrupt ones.
            self.positions[topic][partition] = max(self.positions[topic][partition], offset)
        return [(batch[0].partition, batch) for batch in batches if batch]

    def _new(self, batch: Batch) -> Batch:
        """The records that the query has not been given yet: reading together may go over some again."""
        position = self.positions[batch[0].topic][batch[0].partition]
        return batch if batch[0].offset >= position else Batch([r for r in batch if r.offset >= position])

    def _fetch(self, timeout_s: float) -> Fetched:
        """What comes next; corrupt batches are reported, and a client that met one is replaced."""
        fetched = self._fetched(timeout_s)
        for lost in fetched.lost:
            if lost.end > self.positions[lost.topic][lost.partition]:
                self._lost(lost)
        if any(lost.topic in self._assigned for lost in fetched.lost):
            abandon(self.client)
            self.client = self._connect()
            self._assigned = frozenset()
            self._paused = set()
        return fetched

    def _fetched(self, timeout_s: float) -> Fetched:
        """From what is read together if the query is near enough to the others, else by its own client."""
        if self._scan is None or not self._is_member(self._scan):
            self._assign(frozenset(self.positions))
            return fetch(self.client, self._servers, timeout_s)
        assert self._member is not None
        mine = self._fetch_others(timeout_s)
        found = self._scan.take(self._member, 0 if mine.batches else timeout_s)
        if found is None:
            self._member = None
            return mine
        if self._order is not None:
            _move(self._next, found)
        return mine + found

    def _is_member(self, scan: Scan) -> bool:
        """Whether the query reads together with the others, which it does as soon as it can."""
        if self._member is None and not self._paused:
            self._next = self.positions[scan.topic] if self._order is None else self._order.to_fetch()[scan.topic]
            self._member = scan.join(self._next)
        return self._member is not None

    def _leave(self) -> None:
        if self._scan is not None and self._member is not None:
            self._scan.leave(self._member)
        self._member = None

    def _fetch_others(self, timeout_s: float) -> Fetched:
        """What has come of the topics that are not read together, waiting only where records here wait for it."""
        others = frozenset(self.positions) - {self._together}
        self._assign(others)
        now_s = time.monotonic()
        if not others and now_s < self._ask_at_s:
            return Fetched([], [])
        self._ask_at_s = now_s + ASK_EVERY_S
        waits = self._order is not None and any(topic in others for topic, _ in self._order.awaited())
        return fetch(self.client, self._servers, timeout_s if waits else 0)

    def _assign(self, topics: frozenset[str]) -> None:
        """Have its own client fetch these topics, from where the query is."""
        if topics == self._assigned:
            return
        at = self.positions if self._order is None else self._order.to_fetch()
        wanted = as_partitions({topic: offsets for topic, offsets in at.items() if topic in topics})
        if wanted:
            self.client.assign(wanted)
        else:
            self.client.unassign()
        self._paused = set()
        self._assigned = topics

    # --- several topics -----------------------------------------------------------------------------------------------

    def _poll_in_order(self, order: TimeOrder, timeout_s: float) -> Sequence[tuple[int, Batch]]:
        for _ in range(FETCHED_AT_ONCE):
            fetched = self._fetch(timeout_s)
            order.add(fetched)
            if fetched.batches:
                self._came_s = max(self._came_s, fetched.at_s)
            if len(fetched) < BATCH:
                break
            timeout_s = 0
        found = order.take()
        if order.must_ask:
            order.learn(self._topics.stable_ends(order.places, self._came_s))
            found += order.take()
        self._hold_back(order)
        return found

    def _hold_back(self, order: TimeOrder) -> None:
        """Fetch no more of partitions that wait for others, however long that takes: memory stays bounded."""
        full = {p for p, held in order.held.items() if held > (MOST_HELD // 2 if p in self._paused else MOST_HELD)}
        if full and any(topic == self._together for topic, _ in full):
            # The others are not to wait for this query: it reads by itself until it has room.
            self._leave()
            self._assign(frozenset(self.positions))
        if full != self._paused:
            self.client.pause([TopicPartition(*place) for place in full - self._paused])
            self.client.resume([TopicPartition(*place) for place in self._paused - full])
            self._paused = full

    # --- ends ---------------------------------------------------------------------------------------------------------

    def ends(self) -> dict[Place, int]:
        """Where the partitions ended when the reading began."""
        return dict(self._ends)

    def has_passed(self, ends: Mapping[Place, int]) -> bool:
        """Whether all records before these offsets have been given out."""
        return all(self.positions[t][p] >= end for (t, p), end in ends.items())


def _move(positions: dict[int, int], found: Fetched) -> None:
    """Move positions of one topic, by partition, to behind what was fetched of it."""
    for batch in found.batches:
        positions[batch[-1].partition] = max(positions[batch[-1].partition], batch[-1].offset + 1)
    for _, partition, offset in found.ends:
        positions[partition] = max(positions[partition], offset)
