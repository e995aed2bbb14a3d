"""Frames come out of the received bytes as they were sent, however the bytes are divided."""

from __future__ import annotations

import struct

import hypothesis
import pytest
from hypothesis import strategies as st

from streamguard_broker.budget import MemoryBudget
from streamguard_broker.errors import RequestError
from streamguard_broker.frames import RECEIVE_BYTES, FrameReader

LIMIT = 3 * 1024 * 1024
SIZES = st.one_of(st.integers(8, 300), st.integers(RECEIVE_BYTES - 10, RECEIVE_BYTES + 10), st.just(2_500_000))


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def receive(
    reader: FrameReader, data: bytes, chunk: int, frames: list[bytes], budget: MemoryBudget | None = None
) -> None:
    """Give `data` to the reader, at most `chunk` bytes at a time, and take all complete frames after each."""
    position = 0
    while position < len(data):
        buffer = reader.get_buffer()
        count = min(len(buffer), chunk, len(data) - position)
        assert count > 0, "there is always room"
        buffer[:count] = data[position : position + count]
        del buffer  # a view of a buffer that may grow
        reader.received(count)
        position += count
        while (frame := reader.next_frame(LIMIT)) is not None:
            frames.append(bytes(frame))
            admitted = reader.take_admission()
            assert admitted in (0, len(frame)), "the budget has admitted it until it is answered"
            if budget is not None:
                budget.release(admitted)


@hypothesis.given(sizes=st.lists(SIZES, max_size=5), chunk=st.sampled_from([7, 5000, 65_536, 10_000_000]))
@hypothesis.settings(deadline=None, max_examples=40)
def test_frames_are_as_sent(sizes: list[int], chunk: int) -> None:
    hypothesis.assume(chunk > 7 or sum(sizes) < 200_000)
    sent = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    budget, frames = MemoryBudget(LIMIT, LIMIT), list[bytes]()
    reader = FrameReader(budget, lambda: None)
    receive(reader, b"".join(map(framed, sent)), chunk, frames, budget)
    assert frames == sent
    assert not reader.partial and not reader.waiting and budget.request_bytes == 0


def test_a_large_frame_waits_for_the_budget() -> None:
    budget, retried = MemoryBudget(LIMIT, LIMIT), list[str]()
    assert budget.admit(LIMIT, lambda: None)
    reader = FrameReader(budget, lambda: retried.append("now"))
    frames: list[bytes] = []
    receive(reader, framed(b"x" * 100_000)[:1000], 1000, frames)
    assert reader.waiting and not reader.partial
    budget.release(LIMIT)
    assert retried == ["now"] and not reader.waiting
    assert reader.next_frame(LIMIT) is None and reader.partial
    receive(reader, framed(b"x" * 100_000)[1000:], 50_000, frames)
    assert frames == [b"x" * 100_000]


def test_closing_releases_the_budget() -> None:
    budget = MemoryBudget(LIMIT, LIMIT)
    reader = FrameReader(budget, lambda: None)
    receive(reader, framed(b"x" * 100_000)[:1000], 1000, [])
    assert budget.request_bytes == 100_000
    reader.close()
    assert budget.request_bytes == 0 and not reader.partial


@pytest.mark.parametrize("size", [-1, 0, 7, LIMIT + 1])
def test_impossible_sizes(size: int) -> None:
    reader = FrameReader(MemoryBudget(LIMIT, LIMIT), lambda: None)
    with pytest.raises(RequestError, match=f"a frame of {size} bytes"):
        receive(reader, struct.pack(">i", size), 4, [])
