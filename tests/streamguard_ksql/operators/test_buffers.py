"""Buffers in the order of time against a plain list of rows, also over restarts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard_ksql.operators.buffers import RowBuffer, WaitingRows
from streamguard_ksql.operators.state import Store, decode, decode_key, encode, encode_key

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
def test_rows_that_wait(steps: list[tuple[int, int, bool]], limit: int, crashed: bool) -> None:
    changelog: dict[bytes, bytes | None] = {}
    waiting = WaitingRows(Store("waiting"))
    expected: dict[tuple[int, int], list[object]] = {}
    for name, time, removed in steps:
        if removed:
            waiting.remove(0, (name, time))
            expected.pop((name, time), None)
        elif (name, time) not in expected:
            expected[name, time] = ["row", name]
            waiting.add(0, (name, time), expected[name, time])
    if crashed:
        waiting = WaitingRows(restarted(waiting.store, changelog))
    assert waiting.oldest(0) == min((time for _, time in expected), default=None)
    taken = waiting.take_before(0, limit)
    assert [key[1] for key, _ in taken] == sorted(key[1] for key, _ in taken)
    assert dict(taken) == {key: row for key, row in expected.items() if key[1] < limit}
    assert waiting.take_before(0, limit) == []
    assert len(waiting.store) == len(expected) - len(taken)
