"""The transaction coordinator: begins, extends and ends transactions, and completes prepared ones after a crash.

A commit: PrepareCommit is synced to the state log; a marker is appended to each partition, and the group offsets of the
transaction take effect; those partitions are synced; CompleteCommit is written. A crash before the first sync leaves
the transaction open (it times out and is aborted); after it, `recover` writes what is missing. Calls on one
transactional id are serialised by a lock, so a client never sees a transaction that is half ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import orjson

from streamguard_broker.catalog import Catalog
from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.offsets import OffsetStore
from streamguard_broker.storage.batch import BatchHeader, read_header
from streamguard_broker.storage.flusher import Flusher
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.records import control_batch, iter_plain_records
from streamguard_broker.storage.statelog import Pair, StateLog
from streamguard_broker.transactions.states import END, TopicPartition, Transaction, TransactionState

log = logging.getLogger(__name__)

MAX_TIMEOUT_MS = 15 * 60 * 1000
_LAST_EPOCH = 32766
_PREPARING = (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)


class TransactionCoordinator:
    """All transactional ids of the broker."""

    def __init__(
        self,
        state: StateLog,
        catalog: Catalog,
        offsets: OffsetStore,
        flusher: Flusher,
        clock: Clock,
        next_producer_id: Callable[[], int],
    ) -> None:
        """Replays the state log. Call `recover` before serving."""
        self.state = state
        self.log = state.log
        self._catalog = catalog
        self._offsets = offsets
        self._flusher = flusher
        self._clock = clock
        self._next_producer_id = next_producer_id
        self._locks: dict[str, asyncio.Lock] = {}
        self.transactions: dict[str, Transaction] = {}
        for header, batch in state.replay():
            for record in iter_plain_records(batch, header):
                transactional_id = (record.key or b"").decode()
                if record.value is None:
                    self.transactions.pop(transactional_id, None)
                else:
                    data = orjson.loads(record.value)
                    self.transactions[transactional_id] = Transaction.decode(transactional_id, data)

    def recover(self) -> None:
        """Complete prepared transactions, and abort those in partitions that belong to no open transaction."""
        for transaction in self.transactions.values():
            if transaction.state in _PREPARING:
                log.info("completing transaction %s: %s", transaction.transactional_id, transaction.state.value)
                for touched in self._write_markers(transaction):
                    touched.flush()
                self._complete(transaction)
        owned = {
            (t.producer_id, tp)
            for t in self.transactions.values()
            if t.state is TransactionState.ONGOING
            for tp in t.partitions
        }
        for topic in self._catalog.topics.values():
            for index, partition in enumerate(topic.partitions):
                for producer_id in list(partition.producers.open_transactions):
                    if (producer_id, (topic.name, index)) not in owned:
                        log.warning("aborting a transaction in %s-%d that no transactional id owns", topic.name, index)
                        epoch = partition.producers.entries[producer_id].epoch
                        self._append_marker(partition, producer_id, epoch, commit=False)

    # Calls

    async def init_producer(
        self, transactional_id: str, timeout_ms: int, producer_id: int = -1, epoch: int = -1
    ) -> tuple[int, int]:
        """Producer id and epoch for a (re)started producer; fences the previous one and aborts its open transaction.

        `producer_id` and `epoch`, if not -1, are those of the caller (KIP-360). Raises KafkaError.
        """
        if not transactional_id:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "The transactional id is empty.")
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
            raise KafkaError(ErrorCode.INVALID_TRANSACTION_TIMEOUT, f"The timeout must be 1 to {MAX_TIMEOUT_MS} ms.")
        async with self._lock(transactional_id):
            known = self.transactions.get(transactional_id)
            if known is None:
                known = Transaction(transactional_id, self._next_producer_id(), 0, timeout_ms)
                self.transactions[transactional_id] = known
            else:
                repeated = producer_id == known.producer_id and epoch == known.epoch - 1
                if repeated and known.state is TransactionState.EMPTY:
                    return known.producer_id, known.epoch
                if producer_id != -1 and (producer_id, epoch) != (known.producer_id, known.epoch):
                    raise KafkaError(ErrorCode.PRODUCER_FENCED)
                if known.state is TransactionState.ONGOING:
                    await self._end(known, commit=False, fence=True)
                elif known.state in _PREPARING:
                    await self._finish(known)
                self._bump(known)
            known.timeout_ms = timeout_ms
            known.move(TransactionState.EMPTY, self._clock.wall_ms())
            await self._store(known)
            return known.producer_id, known.epoch

    def _bump(self, transaction: Transaction) -> None:
        """The next epoch; a new producer id after the last epoch."""
        if transaction.epoch >= _LAST_EPOCH:
            transaction.producer_id, transaction.epoch = self._next_producer_id(), 0
        else:
            transaction.epoch += 1

    async def add_partitions(
        self, transactional_id: str, producer_id: int, epoch: int, partitions: set[TopicPartition]
    ) -> None:
        """Add partitions to the transaction, which begins if none is open. Raises KafkaError."""
        async with self._lock(transactional_id):
            transaction = self._checked(transactional_id, producer_id, epoch)
            if transaction.state is TransactionState.ONGOING and partitions <= transaction.partitions:
                return
            if transaction.state in _PREPARING:
                raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
            transaction.move(TransactionState.ONGOING, self._clock.wall_ms())
            transaction.partitions |= partitions
            await self._store(transaction)

    async def add_group(self, transactional_id: str, producer_id: int, epoch: int, group: str) -> None:
        """Add a group's offsets to the transaction, which begins if none is open. Raises KafkaError."""
        async with self._lock(transactional_id):
            transaction = self._checked(transactional_id, producer_id, epoch)
            if transaction.state is TransactionState.ONGOING and group in transaction.groups:
                return
            if transaction.state in _PREPARING:
                raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
            transaction.move(TransactionState.ONGOING, self._clock.wall_ms())
            transaction.groups.add(group)
            await self._store(transaction)

    async def end(self, transactional_id: str, producer_id: int, epoch: int, *, commit: bool) -> None:
        """Commit or abort; returns when the result is durable and visible. Raises KafkaError."""
        async with self._lock(transactional_id):
            transaction = self._checked(transactional_id, producer_id, epoch)
            answer = END[transaction.state, commit]
            if answer is ErrorCode.CONCURRENT_TRANSACTIONS:
                # Nobody else is ending it, for the lock is ours: an earlier try failed, such as on a full disk.
                await self._finish(transaction)
            elif answer is None:
                await self._end(transaction, commit=commit)
            elif answer is not ErrorCode.NONE:
                raise KafkaError(answer)

    async def abort_expired(self) -> None:
        """Abort transactions open for longer than their producers allowed; those producers are fenced. What could not be ended
        earlier, such as on a full disk, is ended now."""
        now_ms = self._clock.wall_ms()
        for transaction in [t for t in self.transactions.values() if t.state in _PREPARING]:
            async with self._lock(transaction.transactional_id):
                if transaction.state in _PREPARING:
                    await self._finish(transaction)
        for transaction in [t for t in self.transactions.values() if t.expired(now_ms)]:
            async with self._lock(transaction.transactional_id):
                if transaction.expired(now_ms):
                    log.warning("transaction %s timed out: aborting", transaction.transactional_id)
                    await self._end(transaction, commit=False, fence=True)

    def check_batch(self, transactional_id: str | None, header: BatchHeader, partition: TopicPartition) -> None:
        """Whether a transactional batch belongs to an open transaction. Raises KafkaError."""
        transaction = self.transactions.get(transactional_id or "")
        if transaction is None or transaction.producer_id != header.producer_id:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
        if transaction.epoch != header.producer_epoch:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH)
        if transaction.state is not TransactionState.ONGOING or partition not in transaction.partitions:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE, "The partition was not added to an open transaction.")

    def check_offsets(self, transactional_id: str, producer_id: int, epoch: int, group: str) -> None:
        """Whether offsets of `group` may be committed in this transaction now. Raises KafkaError."""
        transaction = self._checked(transactional_id, producer_id, epoch)
        if transaction.state is not TransactionState.ONGOING or group not in transaction.groups:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE, "The group was not added to an open transaction.")

    def _checked(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        transaction = self.transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != producer_id:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
        if transaction.epoch != epoch:
            raise KafkaError(ErrorCode.PRODUCER_FENCED)
        return transaction

    # Ending

    async def _end(self, transaction: Transaction, *, commit: bool, fence: bool = False) -> None:
        if fence:
            self._bump_for_fencing(transaction)
        prepared = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
        transaction.move(prepared, self._clock.wall_ms())
        await self._finish(transaction)

    async def _finish(self, transaction: Transaction) -> None:
        """From prepared to complete. Where it fails the transaction stays prepared, and this can be done again: a partition
        that has its marker gets no second one."""
        await self._store(transaction)
        touched = self._write_markers(transaction)
        for wait in [self._flusher.request(partition) for partition in touched]:
            if wait is not None:
                await wait
        self._complete(transaction)

    @staticmethod
    def _bump_for_fencing(transaction: Transaction) -> None:
        """The marker's epoch fences the old producer; `_bump` changes the id at the last epoch, so one more is always free."""
        transaction.epoch = min(transaction.epoch + 1, _LAST_EPOCH + 1)

    def _write_markers(self, transaction: Transaction) -> list[PartitionLog]:
        """Append markers to every partition that has the transaction open; returns the logs to sync."""
        commit = transaction.state is TransactionState.PREPARE_COMMIT
        touched = []
        for topic, index in sorted(transaction.partitions):
            partition = self._catalog.partition(topic, index)
            if partition is not None and partition.has_open_transaction(transaction.producer_id):
                self._append_marker(partition, transaction.producer_id, transaction.epoch, commit=commit)
                touched.append(partition)
        if transaction.groups:
            now_ms = self._clock.wall_ms()
            self._offsets.finish_transaction(transaction.producer_id, transaction.epoch, commit=commit, now_ms=now_ms)
            touched.append(self._offsets.log)
        return touched

    def _append_marker(self, partition: PartitionLog, producer_id: int, epoch: int, *, commit: bool) -> None:
        marker = control_batch(
            commit=commit, producer_id=producer_id, producer_epoch=epoch, timestamp_ms=self._clock.wall_ms()
        )
        partition.append(marker, read_header(marker))

    def _complete(self, transaction: Transaction) -> None:
        commit = transaction.state is TransactionState.PREPARE_COMMIT
        transaction.clear()
        transaction.move(
            TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT, self._clock.wall_ms()
        )
        self._append(transaction)

    # The state log

    def _lock(self, transactional_id: str) -> asyncio.Lock:
        return self._locks.setdefault(transactional_id, asyncio.Lock())

    def _append(self, transaction: Transaction) -> None:
        self.state.append([_pair(transaction)])
        if self.state.wants_rewrite:
            self.state.rewrite(self._pairs())

    async def _store(self, transaction: Transaction) -> None:
        self._append(transaction)
        await self._flusher.flush(self.log)

    def _pairs(self) -> Iterator[Pair]:
        for transaction in self.transactions.values():
            yield _pair(transaction)

    def forget_idle(self, before_ms: int) -> None:
        """Remove transactional ids unused since `before_ms`."""
        for transaction in list(self.transactions.values()):
            idle = transaction.state not in (TransactionState.ONGOING, *_PREPARING)
            if idle and transaction.updated_ms < before_ms:
                del self.transactions[transaction.transactional_id]
                self._locks.pop(transaction.transactional_id, None)
                self.state.append([(transaction.transactional_id.encode(), None)])


def _pair(transaction: Transaction) -> Pair:
    return transaction.transactional_id.encode(), orjson.dumps(transaction.encode())
