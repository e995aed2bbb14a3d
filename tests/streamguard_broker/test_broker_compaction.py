"""Compaction keeps the latest value of every key at its offset, also over crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard_broker.storage.batch import TRANSACTIONAL, frame_batch, read_header
from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.compactor import Compactor
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.records import Record, build_batch, control_batch, every_record_has_a_key
from tests.support.manual_clock import ManualClock
from tests.support.memory_fs import MemoryFileSystem

FOLDER = Path("/data/logs/t-0")
CONFIG = LogConfig(segment_bytes=700, compact=True, delete=False, min_dirty_ratio=0, delete_retention_ms=10_000)
KEYS = st.sampled_from([b"a", b"b", b"c", b"a key longer than sixteen bytes"])
BATCH = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=20))), min_size=1, max_size=4)


def open_log(fs: MemoryFileSystem, clock: ManualClock) -> PartitionLog:
    return PartitionLog(FOLDER, fs, clock, CONFIG)


def append(log: PartitionLog, records: Any, **more: Any) -> int:
    batch = build_batch(records, log.clock.wall_ms(), **more)
    return log.append(batch, read_header(batch)).base_offset


def records_of(log: PartitionLog) -> list[Record]:
    """All data records, as a read_uncommitted consumer gets them."""
    found: list[Record] = []
    offset = log.start_offset
    while True:
        data = log.read(offset, 1).data
        if not data:
            return found
        header = read_header(data)
        if not header.is_control:
            found += list(iter_records(data[: header.size], header))
        offset = header.next_offset


def compact(log: PartitionLog) -> bool:
    log.flush()
    compactor = Compactor()
    work = compactor.begin(log)
    if work is None:
        return False
    work.run()
    compactor.end(work)
    return True


def latest(records: list[Record]) -> dict[bytes, bytes]:
    state: dict[bytes, bytes | None] = {}
    for record in records:
        state[record.key or b""] = record.value
    return {key: value for key, value in state.items() if value is not None}


@settings(max_examples=80, deadline=None)
@given(batches=st.lists(BATCH, min_size=1, max_size=40), rounds=st.integers(1, 3), crash=st.booleans())
def test_the_latest_value_of_every_key_stays_at_its_offset(batches: list[Any], rounds: int, crash: bool) -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log = open_log(fs, clock)
    for number, batch in enumerate(batches):
        append(log, batch)
        clock.now_ms += 100
        if number % max(1, len(batches) // rounds) == 0:
            compact(log)
    before = records_of(log)
    end = log.end_offset
    compact(log)
    if crash:
        fs.crash(0.0)
        log = open_log(fs, clock)
    after = records_of(log)
    assert log.end_offset == end
    assert latest(after) == latest(before)
    assert [r for r in before if r in after] == after, "what stays is unchanged and in order"
    sealed = [r for r in after if r.offset < log.active.base_offset]
    assert len({r.key for r in sealed}) == len(sealed), "one record of each key in what was compacted"


def test_tombstones_are_removed_after_delete_retention_ms() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log = open_log(fs, clock)
    append(log, [(b"k", b"v")])
    append(log, [(b"k", None)])
    log.roll()
    append(log, [(b"other", b"v" * 600)])
    log.roll()
    compact(log)
    assert next((r.key, r.value) for r in records_of(log)) == (b"k", None)
    clock.now_ms += 20_000
    append(log, [(b"more", b"v" * 600)])
    log.roll()
    compact(log)
    assert b"k" not in {r.key for r in records_of(log)}


def test_an_aborted_record_does_not_supersede_a_committed_one() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log = open_log(fs, clock)
    append(log, [(b"k", b"committed")])
    append(log, [(b"k", b"aborted")], attributes=TRANSACTIONAL, producer_id=5, producer_epoch=0, base_sequence=0)
    marker = control_batch(commit=False, producer_id=5, producer_epoch=0, timestamp_ms=clock.now_ms)
    log.append(marker, read_header(marker))
    log.roll()
    compact(log)
    assert [(r.offset, r.value) for r in records_of(log)] == [(0, b"committed")]


def test_an_open_transaction_is_not_compacted() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log = open_log(fs, clock)
    append(log, [(b"k", b"1")], attributes=TRANSACTIONAL, producer_id=5, producer_epoch=0, base_sequence=0)
    log.roll()
    append(log, [(b"k", b"2")])
    log.roll()
    assert not compact(log)
    assert len(records_of(log)) == 2


def test_duplicates_are_detected_after_a_crash_during_a_replacement() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log = open_log(fs, clock)
    append(log, [(b"k", b"1")], producer_id=9, producer_epoch=0, base_sequence=0)
    log.roll()
    append(log, [(b"k", b"2")])
    log.roll()
    log.flush()
    work = Compactor().begin(log)
    assert work is not None
    work.run()
    segment, path = work.rewritten[0]
    fs.rename(path, segment.path)
    fs.sync_directory(FOLDER)
    fs.crash(0.0)
    log = open_log(fs, clock)
    assert log.end_offset == 2
    assert append(log, [(b"k", b"1")], producer_id=9, producer_epoch=0, base_sequence=0) == 0


def test_invalid_records_with_a_valid_crc_are_one_record() -> None:
    for attributes in (0, 1, 2, 3, 4):
        batch = frame_batch(
            [b"\xff" * 30],
            record_count=5,
            last_offset_delta=4,
            base_timestamp=1,
            max_timestamp=9,
            attributes=attributes,
        )
        records = iter_records(bytes(batch), read_header(batch))
        assert [(r.offset, r.timestamp, r.key) for r in records] == [(0, 9, None)]


@pytest.mark.parametrize(("keys", "keyed"), [([b"a", b""], True), ([b"a", None], False), ([None], False)])
def test_missing_keys_are_detected(keys: list[bytes | None], keyed: bool) -> None:
    batch = build_batch([(key, b"v" * 200) for key in keys], 1_700_000_000_000)
    assert every_record_has_a_key(batch, read_header(batch)) is keyed


def filled(fs: MemoryFileSystem, clock: ManualClock) -> PartitionLog:
    """Two full segments with one key, synced, and an active one."""
    log = open_log(fs, clock)
    for value in (b"1", b"2"):
        append(log, [(b"k", value)])
        log.roll()
    log.flush()
    return log


def test_an_invalid_batch_excludes_a_partition() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log, compactor = filled(fs, clock), Compactor()
    batch = frame_batch([b"\xff" * 30], record_count=5, last_offset_delta=4, base_timestamp=1, max_timestamp=9)
    log.append(batch, read_header(batch))
    log.roll()
    log.flush()
    work = compactor.begin(log)
    assert work is not None and compactor.begin(log) is None, "one pass at a time"
    work.run()
    compactor.end(work)
    assert work.plan is None and not work.rewritten
    assert compactor.begin(log) is None
    assert log.end_offset == 7 and log.read(0, 1).data


def test_a_pass_that_fails_on_a_full_disk_is_repeated() -> None:
    fs, clock = MemoryFileSystem(), ManualClock()
    log, compactor = filled(fs, clock), Compactor()
    work = compactor.begin(log)
    assert work is not None
    fs.free_bytes = 0
    work.run()
    with pytest.raises(OSError, match="No space left"):
        compactor.end(work)
    fs.free_bytes = None
    again = compactor.begin(log)
    assert again is not None
    again.run()
    compactor.end(again)
    assert [(r.offset, r.value) for r in records_of(log)] == [(1, b"2")]
    assert len(fs.open_files) == 1, "only the active segment keeps a file open"
