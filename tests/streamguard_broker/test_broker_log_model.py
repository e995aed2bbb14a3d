"""PartitionLog against a model, a list of values: appends, syncs, rolls, clean stops, crashes, torn tails, full disks.

After each step a partition has a prefix of what was appended, complete and in order, and at least what was synced.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.log import LogConfig, PartitionLog
from streamguard_broker.storage.records import build_batch, read_header, validate
from tests.support.manual_clock import ManualClock
from tests.support.memory_fs import MemoryFileSystem

FOLDER = Path("/data/logs/t-0")
CONFIG = LogConfig(segment_bytes=600)


def values_of(data: bytes) -> list[tuple[int, bytes | None]]:
    """(offset, value) of every whole batch in `data`."""
    found = []
    position = 0
    while position + 61 <= len(data):
        header = read_header(data, position)
        batch = data[position : position + header.size]
        if len(batch) < header.size:
            break
        validate(batch, 1 << 30)
        found += [(record.offset, record.value) for record in iter_records(batch, header)]
        position += header.size
    return found


def read_everything(log: PartitionLog) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    while True:
        offset = found[-1][0] + 1 if found else log.start_offset
        data = log.read(offset, 1000).data
        if not data:
            return found
        found += [pair for pair in values_of(data) if pair[0] >= offset]


class LogMachine(RuleBasedStateMachine):
    """The model: `values` in offset order, the first `durable` of which were synced."""

    def __init__(self) -> None:
        super().__init__()
        self.fs = MemoryFileSystem()
        self.clock = ManualClock()
        self.values: list[bytes] = []
        self.durable = 0
        self.sequence = 0
        self.last: tuple[int, list[bytes], int] | None = None

    @initialize()
    def open(self) -> None:
        self.log = PartitionLog(FOLDER, self.fs, self.clock, CONFIG)

    def attempt(self, values: list[bytes], producer_id: int, sequence: int) -> int | None:
        """Append; the base offset, or None if the disk was full."""
        batch = build_batch(
            [(None, v) for v in values],
            self.clock.now_ms,
            producer_id=producer_id,
            producer_epoch=0 if producer_id >= 0 else -1,
            base_sequence=sequence,
        )
        try:
            return self.log.append(batch, read_header(batch)).base_offset
        except KafkaError as error:
            assert error.code is ErrorCode.KAFKA_STORAGE_ERROR
            assert self.fs.free_bytes is not None or self.log.failure
            return None

    @rule(values=st.lists(st.binary(max_size=80), min_size=1, max_size=4))
    def append(self, values: list[bytes]) -> None:
        base = self.attempt(values, -1, -1)
        if base is not None:
            assert base == len(self.values)
            self.values += values

    @rule(values=st.lists(st.binary(max_size=40), min_size=1, max_size=3))
    def append_idempotent(self, values: list[bytes]) -> None:
        base = self.attempt(values, 7, self.sequence)
        if base is not None:
            assert base == len(self.values)
            self.last = (base, values, self.sequence)
            self.values += values
            self.sequence += len(values)

    @rule()
    def append_again(self) -> None:
        """A duplicate after any kind of restart gets the offset it had, and changes nothing."""
        if self.last is not None and not self.log.failure:
            base, values, sequence = self.last
            assert self.attempt(values, 7, sequence) == base

    @rule()
    def sync(self) -> None:
        if self.fs.free_bytes is None:
            self.log.flush()
            self.durable = len(self.values)

    @rule()
    def checkpoint(self) -> None:
        if self.fs.free_bytes is None:
            self.log.flush(checkpoint=True)
            self.durable = len(self.values)

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule(longest=st.sampled_from([None, 1, 7, 50]))
    def short_writes(self, longest: int | None) -> None:
        self.fs.most_per_write = longest

    @rule(left=st.sampled_from([None, 0, 30, 200]))
    def full_disk(self, left: int | None) -> None:
        self.fs.free_bytes = left

    @rule()
    def stop_and_start(self) -> None:
        self.fs.free_bytes = None
        self.log.close()
        self.durable = len(self.values)
        self.log = PartitionLog(FOLDER, self.fs, self.clock, CONFIG)
        assert self.log.truncated_bytes == 0

    @rule()
    def kill(self) -> None:
        """kill -9: the page cache stays, so nothing is lost."""
        self.fs.free_bytes = None
        self.log = PartitionLog(FOLDER, self.fs, self.clock, CONFIG)
        assert self.log.truncated_bytes == 0
        assert self.log.end_offset == len(self.values)

    @rule(keep=st.floats(0, 1))
    def power_cut(self, keep: float) -> None:
        self.fs.free_bytes = None
        self.fs.crash(keep)
        self.log = PartitionLog(FOLDER, self.fs, self.clock, CONFIG)
        end = self.log.end_offset
        assert end >= self.durable, "synced records are lost"
        assert end <= len(self.values)
        del self.values[end:]
        self.durable = min(self.durable, end)
        if self.last is not None and self.last[0] + len(self.last[1]) > end:
            self.last = None
            entry = self.log.producers.entries.get(7)
            self.sequence = entry.batches[-1].last_sequence + 1 if entry else 0

    @invariant()
    def equals_the_model(self) -> None:
        if hasattr(self, "log"):
            assert read_everything(self.log) == list(enumerate(self.values))


LogMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_log_against_its_model = LogMachine.TestCase


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog(FOLDER, MemoryFileSystem(), ManualClock(), CONFIG)


def test_after_a_failed_sync_the_partition_is_read_only(log: PartitionLog) -> None:
    assert isinstance(log.fs, MemoryFileSystem)
    batch = build_batch([(b"k", b"v")], 1)
    log.append(batch, read_header(batch))
    log.fs.sync_fails = True
    with pytest.raises(OSError):
        log.flush()
    with pytest.raises(KafkaError) as refused:
        log.append(batch, read_header(batch))
    assert refused.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert values_of(log.read(0, 1000).data) == [(0, b"v")]


@pytest.mark.parametrize(("asked", "found"), [(0, 0), (1000, 0), (1001, 1), (1009, 9), (1010, None)])
def test_lookup_by_time(log: PartitionLog, asked: int, found: int | None) -> None:
    for i in range(10):
        batch = build_batch([(None, b"x" * 50)], 1000 + i)
        log.append(batch, read_header(batch))
    answer = log.offset_for_time(asked)
    assert (answer.offset if answer else None) == found
    latest = log.offset_of_max_timestamp()
    assert latest is not None and (latest.timestamp, latest.offset) == (1009, 9)


def test_retention_drops_whole_old_segments(log: PartitionLog) -> None:
    for i in range(40):
        batch = build_batch([(None, b"x" * 50)], 1000 + i)
        log.append(batch, read_header(batch))
    before = log.size
    log.config = LogConfig(segment_bytes=600, retention_bytes=before // 2)
    assert log.enforce_retention() > 0
    assert before // 2 <= log.size < before
    assert log.start_offset == log.segments[0].base_offset > 0
    assert log.end_offset == 40
    with pytest.raises(KafkaError) as refused:
        log.read(0, 100)
    assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE


def test_retention_by_time_keeps_recent_segments(log: PartitionLog) -> None:
    assert isinstance(log.clock, ManualClock)
    now = log.clock.now_ms
    for i in range(40):
        batch = build_batch([(None, b"x" * 50)], now - 40_000 + i * 1000)
        log.append(batch, read_header(batch))
    log.config = LogConfig(segment_bytes=600, retention_ms=10_000)
    log.enforce_retention()
    oldest = log.segments[0]
    assert oldest.max_timestamp >= now - 10_000
    assert log.start_offset > 20


def test_a_segment_dropped_before_its_sync_stays_dropped(log: PartitionLog) -> None:
    assert isinstance(log.fs, MemoryFileSystem)
    for i in range(40):
        batch = build_batch([(None, b"x" * 50)], 1000 + i)
        log.append(batch, read_header(batch))
    log.config = LogConfig(segment_bytes=600, retention_bytes=600)
    assert log.enforce_retention() > 0
    log.flush()
    files = {path for path in log.fs.files if path.suffix == ".log"}
    assert files == {segment.path for segment in log.segments}
    assert len(log.fs.open_files) == 1, "sealed and synced segments keep no file open"


def test_delete_before_moves_the_start_durably(log: PartitionLog) -> None:
    for i in range(20):
        batch = build_batch([(None, b"%d" % i * 20)], i)
        log.append(batch, read_header(batch))
    log.delete_before(13)
    log.close()
    again = PartitionLog(FOLDER, log.fs, log.clock, CONFIG)
    assert (again.start_offset, again.end_offset) == (13, 20)
