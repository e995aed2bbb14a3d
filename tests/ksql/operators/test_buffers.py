"""Buffers in the order of time against a plain list of rows, also over restarts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.ksql.operators.buffers import Deadlines, RowBuffer
from streamguard.ksql.operators.state import Store, decode, decode_key, encode, encode_key

NAMES = st.sampled_from(["a", "b", "c"])
TIMES = st.integers(0, 50)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, TIMES),
        st.tuples(st.just("forget"), st.none(), TIMES),
        st.tuples(st.just("restart"), st.none(), st.just(0)),
    ),
    max_size=40,
)


def restarted(store: Store, changelog: dict[bytes, bytes | None]) -> Store:
    """A store as it is after a crash: what the changelog has of the old one."""
    for _, key, value in store.changes():
        changelog[encode_key(key)] = None if value is None else encode(value)
    fresh = Store(store.name)
    for data, found in changelog.items():
        if found is not None:
            fresh.restore(0, decode_key(data), decode(found))
    return fresh


@settings(max_examples=200, deadline=None)
@given(STEPS, NAMES, TIMES, TIMES)
def test_rows_between_two_times(
    steps: list[tuple[str, str | None, int]], name: str, earliest: int, latest: int
) -> None:
    changelog: dict[bytes, bytes | None] = {}
    buffer = RowBuffer(Store("rows"))
    expected: list[tuple[str | None, int, int]] = []
    for serial, (step, about, time) in enumerate(steps):
        if step == "add":
            buffer.add(0, about, time, [serial])
            expected.append((about, time, serial))
        elif step == "forget":
            buffer.forget(0, time)
            expected = [e for e in expected if e[1] > time]
        else:
            buffer = RowBuffer(restarted(buffer.store, changelog))
    found = [(time, row[0]) for time, row, _ in buffer.between(0, name, earliest, latest)]
    assert found == sorted((t, s) for n, t, s in expected if n == name and earliest <= t <= latest)
    assert len(buffer.store) == len(expected)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), TIMES, st.booleans()), max_size=30), TIMES, st.booleans())
def test_what_is_due(steps: list[tuple[int, int, bool]], now: int, crashed: bool) -> None:
    changelog: dict[bytes, bytes | None] = {}
    deadlines = Deadlines(Store("waiting"))
    expected: dict[tuple[int], int] = {}
    for key, deadline, removed in steps:
        if removed:
            deadlines.remove(0, (key,))
            expected.pop((key,), None)
        elif (key,) not in expected:
            deadlines.add(0, (key,), deadline, ["row", key])
            expected[(key,)] = deadline
    if crashed:
        deadlines = Deadlines(restarted(deadlines.store, changelog))
    due = deadlines.due(0, now)
    assert sorted(due) == sorted((k, ["row", k[0]]) for k, deadline in expected.items() if deadline < now)
    assert deadlines.due(0, now) == []
    assert len(deadlines.store) == len(expected) - len(due)
