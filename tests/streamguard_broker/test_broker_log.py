"""PartitionLog one property at a time: failed syncs, lookups by time, retention, read_committed, the index."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.batch import TRANSACTIONAL, read_header
from streamguard_broker.storage.index import INTERVAL_BYTES, SparseIndex
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.records import build_batch, control_batch
from tests.streamguard_broker.test_broker_log_model import CONFIG, FOLDER, values_of
from tests.support.manual_clock import ManualClock
from tests.support.memory_fs import MemoryFileSystem


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


STEPS = st.lists(
    st.tuples(st.sampled_from(["data", "commit", "abort"]), st.sampled_from([-1, 5, 6])), min_size=1, max_size=30
)


@hypothesis.given(steps=STEPS, restart=st.booleans())
@settings(max_examples=150, deadline=None)
def test_read_committed_against_a_model(steps: list[tuple[str, int]], restart: bool) -> None:
    """Reads stop where the oldest open transaction begins; without the aborted spans, only committed records remain."""
    log = PartitionLog(FOLDER, MemoryFileSystem(), ManualClock(), CONFIG)
    opened: dict[int, list[int]] = {}
    sequences: dict[int, int] = {}
    committed: set[int] = set()
    for kind, producer in steps:
        offset = log.end_offset
        if producer < 0:
            batch = build_batch([(None, b"plain")], 1)
            committed.add(offset)
        elif kind == "data":
            sequence = sequences.get(producer, 0)
            batch = build_batch(
                [(None, b"x")],
                1,
                attributes=TRANSACTIONAL,
                producer_id=producer,
                producer_epoch=0,
                base_sequence=sequence,
            )
            sequences[producer] = sequence + 1
            opened.setdefault(producer, []).append(offset)
        else:
            batch = control_batch(commit=kind == "commit", producer_id=producer, producer_epoch=0, timestamp_ms=1)
            committed.update(opened.pop(producer, []) if kind == "commit" else [])
            opened.pop(producer, None)
        log.append(batch, read_header(batch))
    if restart:
        log.close()
        log = PartitionLog(FOLDER, log.fs, log.clock, CONFIG)
    stable = min((offsets[0] for offsets in opened.values()), default=log.end_offset)
    assert log.stable_offset == stable
    assert read_committed(log) == sorted(offset for offset in committed if offset < stable)


def read_committed(log: PartitionLog) -> list[int]:
    """Offsets of data records that a read_committed consumer returns."""
    found: list[int] = []
    offset = log.start_offset
    while True:
        data, aborted = log.read(offset, 1, committed=True)
        if not data:
            return found
        header = read_header(data)
        hidden = header.is_transactional and any(
            a.producer_id == header.producer_id and a.first_offset <= header.base_offset <= a.last_offset
            for a in aborted
        )
        if not header.is_control and not hidden:
            found.append(header.base_offset)
        offset = header.next_offset


@hypothesis.given(
    sizes=st.lists(st.integers(1, 5000), max_size=60), offset=st.integers(-1, 70), time_ms=st.integers(0, 70)
)
def test_the_index_never_skips_a_batch(sizes: list[int], offset: int, time_ms: int) -> None:
    """A lookup begins at or before the wanted batch, at most one interval and one batch before it."""
    index, positions = SparseIndex(), [0]
    for number, size in enumerate(sizes):
        if positions[-1] >= index.next_position:
            index.add(number, positions[-1], number - 1)
        positions.append(positions[-1] + size)
    restored = SparseIndex.from_bytes(index.to_bytes())
    for wanted in (index, restored):
        found = wanted.position_for_offset(offset)
        assert found in positions
        target = positions[min(max(offset, 0), len(sizes))]
        assert found <= target <= found + INTERVAL_BYTES + 5000
        found = wanted.position_for_time(time_ms)
        assert found in positions and found <= positions[min(time_ms, len(sizes))]
