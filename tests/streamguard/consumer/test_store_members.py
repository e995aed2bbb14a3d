"""Two members that store side by side leave what one alone would, whatever they do not see of each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import permutations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.partitioner import murmur2
from sqlalchemy import Connection, event, text

from streamguard.consumer.exclusion import BUCKETS, bucket_of
from streamguard.consumer.records import Decoder
from streamguard.consumer.store import Store
from streamguard.database import make_engine
from streamguard.models.fields import MAX_TIME_MS
from tests.streamguard.consumer.test_store import BURST, GROWING, empty, state
from tests.support.desk import Desk
from tests.support.processes import eventually
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction

Partition = tuple[str, int]


def at(record: Record, partition: int, offset: int) -> Record:
    return Record(record.topic, partition, offset, record.key, record.value)


def refused(offset: int, transaction_id: str, account: str) -> Record:
    """A transaction that SQL sees and the consumer does not store."""
    value = {"transaction_id": transaction_id, "account_id": account, "amount": 4_000, "currency": "XXQ"}
    return Record("transactions", 1, offset, account.encode(), orjson.dumps({**value, "event_time": T0_MS + 700}))


# The alerts of an account may be in another partition than its transactions, and name what others have sent.
WORLD: dict[Partition, Sequence[Record]] = {
    ("transactions", 0): BURST,
    ("transactions", 1): [
        at(transaction(0, "big", "B", 5_000, T0_MS + 500), 1, 0),
        refused(1, "x9", "B"),
        at(transaction(2, "b2", "B", 50, T0_MS + 90_000), 1, 2),
        refused(3, "x8", "B"),
    ],
    ("fraud_alerts", 0): [
        *GROWING[:2],
        high_amount(2, "big", "B", 5_000, T0_MS + 500),
        high_amount(3, "x8", "B", 4_000, T0_MS + 700),
    ],
    ("fraud_alerts", 1): [
        at(GROWING[2], 1, 0),
        at(high_velocity(1, "C", T0_MS, ["c1", "c2", "c3", "big"], 99.0), 1, 1),
        at(high_amount(2, "x9", "A", 4_000, T0_MS + 700), 1, 2),
    ],
}
SIZES = {partition: len(records) for partition, records in WORLD.items()}


class Member:
    """A member of the group beside another one."""

    def __init__(self, desk: Desk) -> None:
        self.engine = make_engine(desk.settings)
        store = Store(self.engine, desk.settings)
        store.is_alone = False
        decoder = Decoder(desk.settings, clock_ms=lambda: MAX_TIME_MS)
        self.desk = Desk(desk.settings, self.engine, store, desk.postgres, decoder)

    def feed(self, records: Sequence[Record]) -> None:
        if records:
            self.desk.feed(*records)


@pytest.fixture
def members(desk: Desk) -> Iterator[tuple[Member, Member]]:
    both = Member(desk), Member(desk)
    yield both
    for member in both:
        member.engine.dispose()


@pytest.fixture
def wanted(desk: Desk) -> list[list[tuple[object, ...]]]:
    """What one member leaves."""
    for records in WORLD.values():
        desk.feed(*records)
    found = state(desk)
    empty(desk)
    return found


def look_again(member: Member) -> None:
    """Until nothing is noted any more: the second look of the housekeeping."""

    def looked() -> int:
        member.desk.store.look_again()
        return len(member.desk.rows("SELECT alert_id FROM alerts_to_check"))

    eventually(looked, lambda left: left == 0, 20, lambda: "alerts stay noted")


_STORES = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')"


@contextmanager
def held_before_commit(member: Member) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The member's next batch waits before its commit: whether it is there, and what lets it go on."""
    there, goes_on = threading.Event(), threading.Event()

    def wait(connection: Connection) -> None:
        if threading.current_thread().name.startswith("held") and connection.execute(text(_STORES)).scalar_one():
            there.set()
            assert goes_on.wait(30)

    event.listen(member.engine, "commit", wait)
    try:
        yield there, goes_on
    finally:
        goes_on.set()
        event.remove(member.engine, "commit", wait)


def blocked(desk: Desk) -> bool:
    return bool(desk.rows("SELECT pid FROM pg_locks WHERE NOT granted"))


def together(desk: Desk, first: Callable[[], None], second: Callable[[], None], one: Member) -> bool:
    """Run `second` while `first`, of `one`, waits before its commit; whether it was done before that commit."""
    with (
        held_before_commit(one) as (there, goes_on),
        ThreadPoolExecutor(1, "held") as holding,
        ThreadPoolExecutor(1, "free") as free,
    ):
        held: Future[None] = holding.submit(first)
        eventually(lambda: there.is_set() or held.done(), bool, 20, lambda: "it comes to no commit")
        other = free.submit(second)
        eventually(lambda: other.done() or blocked(desk), bool, 20, lambda: "it neither ends nor waits")
        was_done = other.done()
        goes_on.set()
        held.result(30)
        other.result(30)
    return was_done


@pytest.mark.parametrize(("first", "second"), list(permutations(WORLD, 2)))
def test_two_batches_that_do_not_see_each_other(
    desk: Desk, members: tuple[Member, Member], wanted: object, first: Partition, second: Partition
) -> None:
    one, other = members
    one.desk.store.offsets(WORLD)  # the rows are there: making them is no part of a batch
    together(desk, lambda: one.feed(WORLD[first]), lambda: other.feed(WORLD[second]), one)
    for partition, records in WORLD.items():
        if partition not in (first, second):
            one.feed(records)
    look_again(other)
    assert state(desk) == wanted


UNSEEN = {
    "a transaction in the window of an alert that is judged": (
        [*BURST[:4]],
        [at(GROWING[0], 1, 0)],
        [*BURST[4:]],
    ),
    "an id that one refuses and another stores, named by an alert of a third account": (
        [high_amount(0, "x9", "A", 4_000, T0_MS + 700)],
        [refused(0, "x9", "B")],
        [transaction(0, "x9", "C", 70, T0_MS)],
    ),
    "two refusals of one id": (
        [high_amount(0, "x9", "A", 4_000, T0_MS + 700)],
        [refused(0, "x9", "B")],
        [Record("transactions", 0, 0, b"C", refused(0, "x9", "C").value)],
    ),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("case", UNSEEN)
def test_what_one_member_stores_while_another_decides(
    desk: Desk, members: tuple[Member, Member], case: str, turned: bool
) -> None:
    before, *both = UNSEEN[case]
    for records in (before, *both):
        desk.feed(*records)
    alone = state(desk)
    empty(desk)
    one, other = members
    desk.feed(*before)
    first, second = reversed(both) if turned else both
    together(desk, lambda: one.feed(first), lambda: other.feed(second), one)
    look_again(other)
    assert state(desk) == alone


def test_members_with_other_accounts_wait_for_each_other_never(desk: Desk, members: tuple[Member, Member]) -> None:
    one, other = members
    one.desk.store.offsets(WORLD)
    assert bucket_of("A") != bucket_of("B")
    # The first decision of all makes the row of the rule set, which is one for both.
    desk.feed(at(transaction(0, "c", "C", 5_000, T0_MS), 2, 0), at(high_amount(0, "c", "C", 5_000, T0_MS), 2, 0))
    mine, its = [*BURST, *GROWING], [WORLD["transactions", 1][0], at(high_amount(0, "big", "B", 5_000, T0_MS), 1, 0)]
    assert together(desk, lambda: one.feed(mine), lambda: other.feed(its), one)
    assert desk.rows("SELECT count(outcome), count(*) FROM fraud_alerts") == [(3, 3)]


@given(
    account=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), partitions=st.sampled_from([1, 3, 6, 12, 24])
)
def test_a_bucket_says_the_partition_of_its_keys(account: str, partitions: int) -> None:
    assert bucket_of(account) % partitions == (murmur2(account.encode()) & 0x7FFFFFFF) % partitions
    assert bucket_of(account) < BUCKETS


def test_a_start_numbers_notes_anew_that_came_with_a_backup(desk: Desk, members: tuple[Member, Member]) -> None:
    members[0].feed([high_amount(0, "t1", "A", 4_000, T0_MS)])
    desk.rows("UPDATE alerts_to_check SET running_before = 1000000000000000")
    members[0].desk.store.look_again()
    assert desk.rows("SELECT count(*) FROM alerts_to_check") == [(1,)]
    desk.store.settle_waiting()
    look_again(members[0])


def _batches(owned: dict[Partition, int], picks: Sequence[int], cuts: set[int], member: int) -> list[list[Record]]:
    """What a member reads, in an order that keeps that of each partition, cut into batches."""
    left = {partition: list(WORLD[partition]) for partition, owner in owned.items() if owner == member}
    batches: list[list[Record]] = [[]]
    for number, pick in enumerate(picks):
        if not any(left.values()):
            break
        partition = [p for p in left if left[p]][pick % sum(map(bool, left.values()))]
        if number in cuts:
            batches.append([])
        batches[-1].append(left[partition].pop(0))
    return batches


_PICKS = st.lists(st.integers(0, 3), min_size=sum(SIZES.values()), max_size=sum(SIZES.values()))
_CUTS = st.sets(st.integers(1, 16), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=st.lists(st.integers(0, 1), min_size=4, max_size=4), picks=st.tuples(_PICKS, _PICKS), cuts=_CUTS)
def test_any_division_among_two_members_at_once_ends_in_the_same_rows(
    desk: Desk,
    members: tuple[Member, Member],
    wanted: object,
    owners: list[int],
    picks: tuple[list[int], list[int]],
    cuts: set[int],
) -> None:
    empty(desk)
    owned = dict(zip(WORLD, owners, strict=True))
    mine, its = (_batches(owned, picks[number], cuts, number) for number in (0, 1))
    members[0].desk.store.offsets(WORLD)
    with ThreadPoolExecutor(2) as pool:
        for number in range(max(len(mine), len(its))):
            done = [
                pool.submit(member.feed, batches[number])
                for member, batches in zip(members, (mine, its), strict=True)
                if number < len(batches)
            ]
            for future in done:
                future.result(30)
    look_again(members[1])
    assert state(desk) == wanted
