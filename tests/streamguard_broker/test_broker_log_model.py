"""PartitionLog against a model, a list of values: appends, syncs, rolls, clean stops, crashes, torn tails, full disks.

After each step a partition has a prefix of what was appended, complete and in order, and at least what was synced.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.batch import read_header, validate
from streamguard_broker.storage.checkpoint import Checkpoint
from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.records import build_batch
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
    """The model: `values` in offset order, from `start` on; the first `durable` of them are synced."""

    def __init__(self) -> None:
        super().__init__()
        self.fs = MemoryFileSystem()
        self.clock = ManualClock()
        self.values: list[bytes] = []
        self.durable = 0
        self.start = 0
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

    @rule(share=st.floats(0, 1))
    def delete_before(self, share: float) -> None:
        if self.fs.free_bytes is None:
            self.start = max(self.start, int(share * len(self.values)))
            self.log.flush()  # as the handler of DeleteRecords does
            self.durable = len(self.values)
            self.log.delete_before(self.start)

    @invariant()
    def equals_the_model(self) -> None:
        if hasattr(self, "log"):
            assert read_everything(self.log) == list(enumerate(self.values))[self.start :]

    @invariant()
    def offsets_are_in_order(self) -> None:
        if hasattr(self, "log"):
            assert self.log.start_offset <= self.log.stable_offset <= self.log.end_offset
            assert self.durable <= self.log.end_offset and self.log.flushed_offset <= self.log.end_offset
            assert self.log.start_offset == self.start

    @invariant()
    def segments_are_in_order(self) -> None:
        """Offsets increase over all batches; sizes and offsets of a segment are those of its file."""
        if not hasattr(self, "log"):
            return
        assert self.log.active is self.log.segments[-1]
        next_offset = self.log.segments[0].base_offset
        for segment in self.log.segments:
            assert segment.base_offset == next_offset
            headers = [header for _, header in segment.scan()]
            for header in headers:
                assert header.base_offset == next_offset
                next_offset = header.next_offset
            assert segment.next_offset == next_offset
            assert segment.size == sum(h.size for h in headers) == len(self.fs.files[segment.path].data)
            assert segment.synced_size <= segment.size and segment.checkpointed_size <= segment.size

    @invariant()
    def checkpoints_cover_synced_bytes_only(self) -> None:
        for path, file in self.fs.files.items():
            stored = Checkpoint.decode(bytes(file.data)) if path.suffix == ".index" else None
            if stored is not None:
                assert stored.size <= len(self.fs.files[path.with_suffix(".log")].durable)


LogMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_log_against_its_model = LogMachine.TestCase
