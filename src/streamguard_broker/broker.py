"""The broker without its sockets: the state and services that requests use, opened from one data folder.

DIR/LOCK            held while a broker runs on the folder
DIR/identity.json   cluster id
DIR/producer-ids    the first producer id that is not reserved
DIR/users.json      salted, hashed credentials
DIR/topics.json     topics, partitions, settings
DIR/logs/T-P/       the segments of partition P of topic T
DIR/state/          committed offsets and groups; transactions
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson

from streamguard_broker.budget import MemoryBudget
from streamguard_broker.catalog import Catalog, Change
from streamguard_broker.clock import Clock, SystemClock
from streamguard_broker.errors import BrokerError, ErrorCode, KafkaError
from streamguard_broker.fetch_sessions import FetchSessions
from streamguard_broker.groups.coordinator import GroupCoordinator
from streamguard_broker.groups.offsets import OffsetStore
from streamguard_broker.metrics import Metrics
from streamguard_broker.options import BrokerOptions
from streamguard_broker.patterns import PatternCache
from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.compactor import Compactor
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.flusher import Flusher
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.removal import RemovalWork
from streamguard_broker.storage.statelog import StateLog
from streamguard_broker.storage.writer import LogWriter
from streamguard_broker.transactions.coordinator import TransactionCoordinator

log = logging.getLogger(__name__)

T = TypeVar("T")
_ID_BLOCK = 1000


class ProducerIds:
    """Assigns producer ids, each once: a block of ids is reserved on disk before the first of them is used."""

    def __init__(self, path: Path, fs: FileSystem) -> None:
        """Raises OSError."""
        self._path = path
        self._fs = fs
        self._lock = threading.Lock()
        data = fs.read_file(path)
        self._next = self._reserved = int(data) if data else 0
        self.reserve()

    @property
    def few(self) -> bool:
        """Whether it is time to reserve more."""
        return self._reserved - self._next < _ID_BLOCK // 2

    def reserve(self) -> None:
        """Reserve a block more. May be called on any thread. Raises OSError."""
        with self._lock:
            reserved = self._reserved + _ID_BLOCK
            self._fs.replace_file(self._path, str(reserved).encode())
            self._reserved = reserved

    def next(self) -> int:
        """A fresh id. Raises KafkaError KAFKA_STORAGE_ERROR."""
        if self._next >= self._reserved:
            try:
                self.reserve()
            except OSError as error:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error.strerror)) from error
        self._next += 1
        return self._next - 1


class FolderLock:
    """An exclusive `flock` on the folder, against a second broker; the system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        """Raises BrokerError."""
        self._fd = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise BrokerError(f"Another broker runs on {folder}; stop it or choose another --data-dir.") from None

    def release(self) -> None:
        os.close(self._fd)


class Broker:
    """State and services shared by all connections."""

    def __init__(self, options: BrokerOptions, fs: FileSystem | None = None, clock: Clock | None = None) -> None:
        """Open (and if need be recover) the data folder. Raises BrokerError."""
        self.options = options
        self.fs = fs or FileSystem()
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.fetch_sessions = FetchSessions()
        self.compactor = Compactor()
        self.budget = MemoryBudget(options.queued_max_request_bytes, options.queued_max_response_bytes)
        self.node_id = options.node_id
        self.advertised = (options.host, options.port)
        self._changing_topics = asyncio.Lock()
        folder = options.data_dir
        try:
            self.fs.make_directory(folder)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise BrokerError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
        try:
            self._open(folder)
        except OSError as error:
            self._lock.release()
            if error.errno == errno.ENOSPC:
                raise BrokerError(f"There is no space left on the disk of {folder}.") from error
            raise BrokerError(f"The data in {folder} cannot be opened: {error}.") from error

    def _open(self, folder: Path) -> None:
        state = folder / "state"
        self.fs.make_directory(state)
        self.cluster_id = self._identity(folder / "identity.json")
        self.flusher = Flusher(self.metrics.synced)
        self.writer = LogWriter(self.flusher.written)
        self.producer_ids = ProducerIds(folder / "producer-ids", self.fs)
        self.users = Users(folder / USERS_FILE, self.fs)
        self.catalog = Catalog(folder, self.fs, self.clock, self.options.topic_defaults, self.writer.schedule)
        self.offsets = OffsetStore(StateLog(state / "consumer_offsets", self.fs, self.clock, self.writer.schedule))
        self.groups = GroupCoordinator(
            self.offsets,
            self.clock,
            initial_delay_ms=self.options.rebalance_initial_delay_ms,
            offsets_retention_ms=self.options.offsets_retention_ms,
            consumer_session_timeout_ms=self.options.group_consumer_session_timeout_ms,
        )
        self.patterns = PatternCache()
        self.transactions = TransactionCoordinator(
            StateLog(state / "transactions", self.fs, self.clock, self.writer.schedule),
            self.catalog,
            self.offsets,
            self.flusher,
            self.clock,
            self.producer_ids.next,
        )
        self.transactions.recover()

    def _identity(self, path: Path) -> str:
        data = self.fs.read_file(path)
        if data:
            return str(orjson.loads(data)["cluster_id"])
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.fs.replace_file(path, orjson.dumps({"cluster_id": cluster_id}))
        return cluster_id

    def flush_idle(self) -> None:
        """Sync, in the background, writes that no request waits for (acks 0 and 1)."""
        for partition in (*self.catalog.logs(), self.transactions.log, self.offsets.log):
            if partition.flushed_offset < partition.end_offset:
                self.flusher.flush_in_background(partition)

    async def change_topics(self, begin: Callable[[], Change[T]]) -> T:
        """Make a change of the topics durable and visible, one at a time. Raises KafkaError."""
        async with self._changing_topics:
            change = begin()
            await self.writer.run(change.run)
            return change.apply()

    async def delete_topic(self, name: str) -> None:
        """Remove a topic, its committed offsets and, once nothing is written or synced there, its files."""
        topic = await self.change_topics(partial(self.catalog.begin_delete, name))
        self.offsets.delete_topic(name)
        for partition in topic.partitions:
            await self.writer.wait_until_idle(partition)
            await self.flusher.wait_until_idle(partition)
            await self.writer.run(partition.delete)

    async def tidy_state(self) -> None:
        """Remove what rewrites of the coordinators' state have replaced, and reserve producer ids."""
        if self.producer_ids.few:
            await self.writer.run(self.producer_ids.reserve)
        for state in (self.offsets.state, self.transactions.state):
            work = state.begin_removal()
            if work is not None:
                with contextlib.suppress(OSError):  # it is logged
                    await self.remove(state.log, work)

    async def remove(self, partition: PartitionLog, work: RemovalWork) -> None:
        """Carry out a removal, in turn with the writes. Raises OSError."""
        await self.writer.run(work.run)
        partition.end_delete(work)

    async def enforce_retention(self) -> None:
        """Drop old segments, expired producers and abandoned groups' offsets."""
        for partition in list(self.catalog.logs()):
            work = None if partition.closed else partition.begin_retention()
            if work is not None:
                with contextlib.suppress(OSError):  # it is logged
                    await self.remove(partition, work)
            partition.producers.expire(self.clock.wall_ms() - 24 * 3600 * 1000)
        self.groups.expire_offsets()
        self.patterns.prune(self.groups.patterns)
        self.transactions.forget_idle(self.clock.wall_ms() - 7 * 24 * 3600 * 1000)

    async def compact(self) -> None:
        """One compaction pass over every partition."""
        await self.compactor.run(list(self.catalog.logs()), self.writer)

    async def close(self) -> None:
        """Sync and close everything: the next start finds nothing to recover."""
        await self.writer.close()
        await self.flusher.close()
        try:
            self.catalog.close()
            self.offsets.log.close()
            self.transactions.log.close()
        except OSError as error:
            log.error("the last sync failed: %s", error)
        self._lock.release()
