"""The shared scan without a broker: its table, each transition, and random schedules of members over a topic in memory."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from streamguard_ksql.operators.record import Batch, InputRecord
from streamguard_ksql.runtime.fetch import Fetched
from streamguard_ksql.runtime.shared_scan import TRANSITIONS, Event, Joined, Limits, Member, ScanState, SharedScan, Step

LIMITS = Limits(behind=10, stall_s=1.0, rewind=20)


def batch(first: int, count: int, partition: int = 0) -> Fetched:
    """A fetch that found `count` records of a partition from an offset on."""
    records = [InputRecord("t", partition, first + i, None, None, 0, ()) for i in range(count)]
    return Fetched([Batch(records)] if records else [], [])


def joined(scan: SharedScan, at: int = 0, now_s: float = 0.0, to_go: int = 0) -> Member:
    found = scan.join({0: at}, to_go, now_s)
    assert isinstance(found, Joined)
    return found.member


def fetch(scan: SharedScan, member: Member, found: Fetched | None, now_s: float = 0.0) -> None:
    assert scan.next(member, now_s) is Step.FETCH
    scan.fetch()
    scan.fetched(found)


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_state_has_its_row_and_can_be_closed() -> None:
    assert set(TRANSITIONS) == set(ScanState)
    assert all(Event.CLOSE in events for events in TRANSITIONS.values())


def test_every_state_can_be_reached() -> None:
    reached, new = {ScanState.IDLE}, {ScanState.IDLE}
    while new:
        new = {after for state in new for after in TRANSITIONS[state].values()} - reached
        reached |= new
    assert reached == set(ScanState)


def test_nobody_fetches_while_a_query_waits_to_rewind_or_another_fetches() -> None:
    assert [state for state, events in TRANSITIONS.items() if Event.FETCH in events] == [ScanState.READING]


def test_a_closed_scan_takes_no_member() -> None:
    assert not any(Event.JOINED in TRANSITIONS[state] for state in (ScanState.CLOSING, ScanState.CLOSED))


# --- one transition after the other -----------------------------------------------------------------------------------


def test_the_first_member_begins_where_it_is() -> None:
    scan = SharedScan(LIMITS)
    found = scan.join({0: 5, 1: 7}, 0, 0.0)
    assert isinstance(found, Joined) and found.assign == {0: 5, 1: 7}
    assert scan.state is ScanState.READING


def test_a_batch_is_given_to_each_member_once() -> None:
    scan = SharedScan(LIMITS)
    a, b = joined(scan), joined(scan)
    found = batch(0, 3)
    fetch(scan, a, found)
    assert scan.next(a, 0.0) is found and scan.next(b, 0.0) is found
    assert (scan.kept, scan.start) == (0, {0: 3})
    assert scan.next(a, 0.0) is Step.FETCH


def test_while_one_fetches_the_others_wait() -> None:
    scan = SharedScan(LIMITS)
    a, b = joined(scan), joined(scan)
    assert scan.next(a, 0.0) is Step.FETCH
    scan.fetch()
    assert scan.state is ScanState.FETCHING
    assert scan.next(b, 0.0) is Step.WAIT


def test_a_member_near_enough_takes_the_scan_back() -> None:
    scan = SharedScan(LIMITS)
    a = joined(scan, 15)
    found = scan.join({0: 5}, 0, 0.0)
    assert isinstance(found, Joined) and found.assign == {0: 5}
    fetch(scan, found.member, batch(5, 3))
    assert scan.next(a, 0.0) == batch(5, 3)


@pytest.mark.parametrize(("to_go", "taken"), [(0, False), (29, False), (30, True)])
def test_one_further_back_joins_while_the_others_have_as_far_to_go(to_go: int, taken: bool) -> None:
    scan = SharedScan(LIMITS)
    joined(scan, 30)
    assert isinstance(scan.join({0: 0}, to_go, 0.0), Joined) is taken


def test_other_partitions_are_another_topic() -> None:
    scan = SharedScan(LIMITS)
    joined(scan, 0)
    assert scan.join({0: 0, 1: 0}, 0, 0.0) is None


def test_a_query_that_rewinds_waits_for_the_fetch_and_the_others_for_it() -> None:
    scan = SharedScan(LIMITS)
    a = joined(scan, 10)
    assert scan.next(a, 0.0) is Step.FETCH
    scan.fetch()
    assert scan.join({0: 4}, 0, 0.0) is Step.WAIT
    assert scan.state.name == "DRAINING"
    scan.fetched(batch(10, 2))
    assert scan.state.name == "REWINDING"
    assert scan.next(a, 0.0) == batch(10, 2)
    assert scan.next(a, 0.0) is Step.WAIT
    a.positions[0] = 12
    found = scan.join({0: 4}, 0, 0.0, waited=True)
    assert isinstance(found, Joined) and found.assign == {0: 4}
    assert scan.state is ScanState.READING


def test_two_queries_that_rewind_both_come_before_the_next_fetch() -> None:
    scan = SharedScan(LIMITS)
    a = joined(scan, 10)
    assert scan.next(a, 0.0) is Step.FETCH
    scan.fetch()
    assert scan.join({0: 4}, 0, 0.0) is Step.WAIT and scan.join({0: 6}, 0, 0.0) is Step.WAIT
    scan.fetched(batch(10, 2))
    assert isinstance(scan.join({0: 4}, 0, 0.0, waited=True), Joined)
    assert scan.state.name == "REWINDING"
    found = scan.join({0: 6}, 0, 0.0, waited=True)
    assert isinstance(found, Joined) and found.assign is None
    assert scan.state is ScanState.READING


def test_a_query_that_waited_in_vain_lets_the_others_go_on() -> None:
    scan = SharedScan(LIMITS)
    a = joined(scan, 10)
    assert scan.next(a, 0.0) is Step.FETCH
    scan.fetch()
    assert scan.join({0: 4}, 0, 0.0) is Step.WAIT
    scan.fetched(batch(10, 30))
    scan.next(a, 0.0)
    assert scan.join({0: 4}, 0, 0.0, waited=True) is None, "40 records behind are too many by now"
    assert scan.next(a, 0.0) is Step.FETCH


def test_the_others_wait_for_one_that_lags_and_evict_one_that_stalls() -> None:
    scan = SharedScan(LIMITS)
    fast, slow = joined(scan), joined(scan)
    fetch(scan, fast, batch(0, 10))
    scan.next(fast, 0.0)
    assert scan.next(fast, 0.9) is Step.WAIT
    assert scan.next(fast, 1.0) is Step.FETCH
    assert slow.evicted and scan.next(slow, 1.0) is Step.EVICTED
    assert scan.members == [fast] and scan.kept == 0


def test_a_failed_fetch_evicts_everybody() -> None:
    scan = SharedScan(LIMITS)
    a, b = joined(scan), joined(scan)
    fetch(scan, a, None)
    assert a.evicted and b.evicted and scan.state is ScanState.IDLE
    assert isinstance(scan.join({0: 0}, 0, 0.0), Joined)


def test_the_last_member_leaves_the_scan_idle_and_keeps_nothing() -> None:
    scan = SharedScan(LIMITS)
    a, b = joined(scan), joined(scan)
    fetch(scan, a, batch(0, 3))
    scan.evict([a])
    assert scan.kept == 3
    scan.evict([b])
    assert (scan.state, scan.kept) == (ScanState.IDLE, 0)
    scan.evict([b])
    assert scan.state is ScanState.IDLE


@pytest.mark.parametrize("fetching", [False, True])
def test_closing_waits_for_a_fetch(fetching: bool) -> None:
    scan = SharedScan(LIMITS)
    a = joined(scan)
    if fetching:
        assert scan.next(a, 0.0) is Step.FETCH
        scan.fetch()
    scan.close()
    assert a.evicted and scan.state is (ScanState.CLOSING if fetching else ScanState.CLOSED)
    assert scan.join({0: 0}, 0, 0.0) is None
    if fetching:
        scan.fetched(batch(0, 2))
    assert scan.state is ScanState.CLOSED
    scan.close()
    assert scan.state is ScanState.CLOSED


# --- random schedules -------------------------------------------------------------------------------------------------


class Topic:
    """A topic in memory, with the consumer of a scan over it."""

    def __init__(self, draw: random.Random, sizes: Mapping[int, int]) -> None:
        self.draw, self.sizes = draw, sizes
        self.at: dict[int, int] = {}

    def to_go(self, start: Mapping[int, int]) -> int:
        return sum(self.sizes[p] - at for p, at in start.items())

    def fetch(self) -> Fetched | None:
        """Some records of some partitions; None, and no query is given what was fetched, for a failed fetch."""
        batches = []
        for partition in self.draw.sample(sorted(self.sizes), self.draw.randint(1, len(self.sizes))):
            first = self.at[partition]
            count = min(self.draw.randint(0, 6), self.sizes[partition] - first)
            self.at[partition] += count
            batches += batch(first, count, partition).batches
        return None if self.draw.random() < 0.02 else Fetched(batches, [])


class Query:
    """Reads the topic from its positions to the end; now and then it leaves and joins again."""

    def __init__(self, topic: Topic, positions: dict[int, int]) -> None:
        self.topic, self.positions, self.start = topic, positions, dict(positions)
        self.member: Member | None = None
        self.waited = False
        self.given: dict[int, list[int]] = {p: [] for p in positions}

    @property
    def done(self) -> bool:
        return self.positions == dict(self.topic.sizes)

    def step(self, scan: SharedScan, now_s: float) -> bool:
        """One step; whether the query now has to fetch."""
        if self.member is None:
            found = scan.join(self.positions, self.topic.to_go(scan.start), now_s, waited=self.waited)
            self.waited = found is Step.WAIT
            if isinstance(found, Joined):
                self.member = found.member
                self.topic.at = dict(found.assign or self.topic.at)
            elif found is None:
                self._alone()
            return False
        if self.topic.draw.random() < 0.02:
            scan.evict([self.member])
        step = scan.next(self.member, now_s)
        if step is Step.EVICTED:
            self.member = None
        elif isinstance(step, Fetched):
            for records in step.batches:
                self.take(list(records))
        return step is Step.FETCH

    def _alone(self) -> None:
        """Read a few records with the query's own consumer."""
        for partition, at in list(self.positions.items()):
            for records in batch(at, min(5, self.topic.sizes[partition] - at), partition).batches:
                self.take(list(records))

    def take(self, records: list[InputRecord]) -> None:
        for record in records:
            if record.offset >= self.positions[record.partition]:
                self.given[record.partition].append(record.offset)
                self.positions[record.partition] = record.offset + 1


@pytest.mark.parametrize("seed", range(50))
def test_every_query_is_given_each_record_once_in_order(seed: int) -> None:
    draw = random.Random(seed)
    topic = Topic(draw, {p: draw.randint(0, 200) for p in range(3)})
    scan = SharedScan(LIMITS)
    queries = [
        Query(topic, {p: draw.choice([0, draw.randint(0, size)]) for p, size in topic.sizes.items()}) for _ in range(4)
    ]
    fetching, now_s = False, 0.0
    for _ in range(200_000):
        unfinished = [q for q in queries if not q.done]
        if not unfinished:
            break
        now_s += draw.choice([0.0, 0.01, 0.6])
        if fetching and draw.random() < 0.5:
            scan.fetched(topic.fetch())
            fetching = False
            continue
        query = draw.choice(unfinished)
        if query.step(scan, now_s):
            scan.fetch()
            fetching = True
        if query.done and query.member is not None:
            scan.evict([query.member])
        assert scan.kept <= LIMITS.behind + 18, "a batch more than the limit at most"
    for query in queries:
        assert query.given == {p: list(range(query.start[p], size)) for p, size in topic.sizes.items()}
