"""Internal state in a PartitionLog: key-value records whose latest values are the state of a coordinator.

Kept small by rewriting: once it has grown well past what the state needs, the whole state is appended to a new
segment, synced, and everything before it deleted. A crash at any point leaves either the old records or both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.batch import BatchHeader, read_header
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.records import build_batch

Pair = tuple[bytes | None, bytes | None]

REWRITE_ABOVE_BYTES = 8 * 1024 * 1024
_REWRITE_CHUNK = 1000


class StateLog:
    """A PartitionLog of plain batches; `replay` it once at the start."""

    def __init__(
        self, folder: Path, fs: FileSystem, clock: Clock, schedule: Callable[[PartitionLog], None] | None = None
    ) -> None:
        """`schedule` as in PartitionLog. Raises OSError."""
        self._clock = clock
        config = LogConfig(segment_bytes=16 * 1024 * 1024, delete=False)
        self.log = PartitionLog(folder, fs, clock, config, schedule)
        self._rewrite_above = REWRITE_ABOVE_BYTES

    def replay(self) -> Iterator[tuple[BatchHeader, bytes]]:
        """Every batch, oldest first, as (header, whole batch)."""
        for segment in list(self.log.segments):
            for position, header in segment.scan():
                if header.last_offset >= self.log.start_offset:
                    yield header, segment.read(position, header.size)

    def append(
        self, records: Iterable[Pair], *, attributes: int = 0, producer_id: int = -1, producer_epoch: int = -1
    ) -> None:
        """Write one batch; durable once the log is flushed. Raises KafkaError KAFKA_STORAGE_ERROR."""
        batch = build_batch(
            records,
            self._clock.wall_ms(),
            attributes=attributes,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
        )
        self.append_batch(batch)

    def append_batch(self, batch: bytearray) -> None:
        """Write an encoded batch (a transaction marker). Raises KafkaError KAFKA_STORAGE_ERROR."""
        self.log.append(batch, read_header(batch)._replace(producer_id=-1))

    @property
    def wants_rewrite(self) -> bool:
        return self.log.size > self._rewrite_above

    def rewrite(self, state: Iterable[Pair], then: Iterable[bytearray] = ()) -> None:
        """Replace all records by `state`, followed by the batches `then`.

        Raises KafkaError KAFKA_STORAGE_ERROR, with the old records still in place.
        """
        try:
            self._rewrite(state, then)
        except OSError as error:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error.strerror)) from error

    def _rewrite(self, state: Iterable[Pair], then: Iterable[bytearray]) -> None:
        self.log.roll()
        start = self.log.end_offset
        chunk: list[Pair] = []
        for pair in state:
            chunk.append(pair)
            if len(chunk) == _REWRITE_CHUNK:
                self.append(chunk)
                chunk = []
        if chunk:
            self.append(chunk)
        for batch in then:
            self.append_batch(batch)
        self.log.flush()
        self.log.delete_before(start)
        self._rewrite_above = max(REWRITE_ABOVE_BYTES, 2 * self.log.size)
