"""Records that the appender writes are those that kafka-python would write, and every batch is answered for once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import encode_varint

from streamguard.kafka.appender import Appender, _write, encode_headers, varint

_TEXTS = st.binary(max_size=300)
_HEADERS = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), _TEXTS), max_size=3)
_RECORDS = st.lists(
    st.tuples(st.integers(0, 2**41), _TEXTS, st.none() | st.binary(max_size=20_000), _HEADERS), min_size=1, max_size=20
)


@given(st.integers(-(2**62), 2**62))
def test_numbers_are_written_as_the_client_writes_them(number: int) -> None:
    wanted = bytearray()
    encode_varint(number, wanted.append)
    assert varint(number) == wanted


@given(_RECORDS, st.sampled_from([0, 3]))
def test_a_batch_has_the_bytes_of_the_client(
    records: list[tuple[int, bytes, bytes | None, list[tuple[str, bytes]]]], compression: int
) -> None:
    mine, its = (MemoryRecordsBuilder(2, compression, 16_384) for _ in range(2))
    for stamp_ms, key, value, headers in records:
        tail = varint(len(key)) + key + (b"\x01" if value is None else varint(len(value)) + value)
        was_written = _write(mine, stamp_ms, tail + encode_headers(headers))
        assert was_written == (its.append(stamp_ms, key, value, headers) is not None)
    assert mine.next_offset() == its.next_offset()
    mine.close()
    its.close()
    assert mine.buffer() == its.buffer()
    assert not _write(mine, 0, b"")


class Answers:
    """A producer without a broker: batches are taken and answered for by hand."""

    def __init__(self, batch_size: int = 16_384) -> None:
        self.accumulator = RecordAccumulator(batch_size=batch_size)
        self.woken = 0
        sender = SimpleNamespace(wakeup=self._wake)
        self.done: list[tuple[int, int, list[Any], BaseException | None]] = []
        producer = SimpleNamespace(_accumulator=self.accumulator, _sender=sender, config={"max_request_size": 1 << 20})
        self.appender = Appender(producer, lambda _, *done: self.done.append(done))

    def _wake(self) -> None:
        self.woken += 1

    def take(self) -> Any:
        batch = self.accumulator._batches[PLACE].popleft()
        batch.records.close()
        return batch


PLACE = TopicPartition("t", 0)


def test_a_batch_is_answered_for_with_its_offsets_or_its_error() -> None:
    answers = Answers(batch_size=200)
    for number in range(10):
        answers.appender.append(PLACE, b"k", b"%050d" % number, encode_headers([]), number)
    batches = [answers.take() for _ in range(answers.woken)]
    assert len(batches) > 2 and not answers.accumulator._batches[PLACE]
    refusal = ValueError("no")
    batches[0].complete(40, -1)
    batches[1].complete_exceptionally(refusal, lambda _: refusal)
    first = batches[0].record_count
    assert answers.done[0] == (40, first, list(range(first)), None)
    assert answers.done[1][1:] == (
        batches[1].record_count,
        list(range(first, first + batches[1].record_count)),
        refusal,
    )


def test_a_batch_that_the_client_halves_is_answered_for_in_its_parts() -> None:
    answers = Answers()
    for number in range(5):
        answers.appender.append(PLACE, b"k", b"v%d" % number, encode_headers([("h", b"x")]), number)
    whole = answers.take()
    assert answers.accumulator.split_and_reenqueue(whole) == 2
    values = []
    for offset in (7, 10):
        part = answers.take()
        values += [record.value for batch in MemoryRecords(part.records.buffer()) for record in batch]
        part.complete(offset, -1)
    assert values == [b"v%d" % number for number in range(5)]
    assert answers.done == [(7, 3, [0, 1, 2], None), (10, 2, [3, 4], None)]
