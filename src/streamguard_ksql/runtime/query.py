"""A persistent query at work: one thread that polls, runs, produces and commits.

1. `_open`: the topology is built, state and positions restored from the changelog (`Changelog.restore`).
2. `_run`: records are read in batches and fed to the topology; results go straight to the producer.
3. `_commit`, now and then: results are flushed, then changed state and positions are committed in one Kafka transaction.
   A query without state keeps its positions as its consumer group's offsets instead.

With `processing.guarantee=exactly_once_v2` results and group offsets are in that transaction, too.
Where several engines share a service id, a query reads this engine's share of its topics (see `sharing`): before the shares
change it commits and stands still; with another share it is opened anew.
A failure of Kafka is reported, and the query starts again from its last commit. A fault of the engine, a limit that is
exceeded, or a record after which no query can go on (a SUM beyond its DECIMAL), ends the query: its reason is in SHOW
QUERIES, no record is left out, and a restart of the server runs it again from its last commit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streamguard_ksql.engine import PersistentQuery
from streamguard_ksql.errors import FatalRecordError, KsqlError, LimitExceeded
from streamguard_ksql.operators.base import ProcessingError, Runtime, Skip
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.runtime import clients, names
from streamguard_ksql.runtime.api import PartitionOffsets, QueryStats
from streamguard_ksql.runtime.changelog import TOPIC_CONFIG, Changelog, UncommittedChanges
from streamguard_ksql.runtime.clients import (
    KafkaTopics,
    KafkaUnavailable,
    Offsets,
    Positions,
    Sender,
    Servers,
    as_partitions,
)
from streamguard_ksql.runtime.corrupt import CorruptBatch, LostBatch
from streamguard_ksql.runtime.group_offsets import GroupOffsets
from streamguard_ksql.runtime.holding import Holding
from streamguard_ksql.runtime.memory import stores_bytes
from streamguard_ksql.runtime.pulse import Interrupted, Pulse
from streamguard_ksql.runtime.reader import ASK_EVERY_S, Reader
from streamguard_ksql.runtime.scans import Scans
from streamguard_ksql.runtime.sharing import TRANSACTION_MS, Alone, Sharing
from streamguard_ksql.runtime.streams import from_beginning, stream_of, streams_property
from streamguard_ksql.topology import Topology, most_ahead_ms

log = logging.getLogger(__name__)
COMMIT_INTERVAL_MS = 500
COMMIT_LATEST_S, COMMIT_RECORDS = 2.0, 500
"""While records keep coming a commit may be so late, if these are not more: a commit of every query costs what hundreds of
records cost, and after it the group is as near to the end as alarms on lag want it. No longer than ksqlDB's default."""
POLL_S = 0.1
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
INTERRUPT_S = 2.0
"""How long an interrupted query may take to close its clients."""


class Report(Protocol):
    """The processing log as a query sees it."""

    def __call__(self, error: ProcessingError) -> None:
        """Log an error; never waits, never fails."""

    def flush(self) -> None:
        """Wait a little until what was logged is on disk."""


class QueryRunner:
    """Runs one persistent query in a thread of its own. `lock` is held while the state changes."""

    def __init__(
        self,
        query: PersistentQuery,
        servers: Servers,
        service_id: str,
        topics: KafkaTopics,
        scans: Scans,
        report: Report,
        sharing: Sharing | None = None,
    ) -> None:
        self.query = query
        self.servers = servers
        self.service_id = service_id
        self.group = names.query_group(service_id, query.query_id)
        self.lock = threading.RLock()
        self.topology: Topology | None = None
        self.state = "RUNNING"
        self.skipped: Counter[str] = Counter()
        self.consumed = self.consumed_bytes = self.produced = self.errors = 0
        self.last_message_ms: int | None = None
        self._event_lag_s: float | None = None
        self._uncommitted_since_s: float | None = None
        self.failure: str | None = None
        self.failed_ms: int | None = None
        self.ready = threading.Event()
        self._report = report
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._thread = threading.Thread(target=self._main, name=f"query-{query.query_id}", daemon=True)
        self.query_id = query.query_id
        self.pulse = Pulse(self._thread)
        guarantee = str(streams_property(query.config, "processing.guarantee", "at_least_once"))
        self.exactly_once = guarantee.lower() in ("exactly_once_v2", "exactly_once")
        interval_ms = streams_property(query.config, "commit.interval.ms", None)
        self.commit_interval_s = int(COMMIT_INTERVAL_MS if interval_ms is None else interval_ms) / 1000
        self._may_be_late = interval_ms is None and not self.exactly_once
        self._reader: Reader | None = None
        self._changes: Sender | None = None
        """Writes the changelog, in transactions; None for a query without state."""
        self._topics = topics
        self._scans = scans
        self._reported = self._passed_lost = False
        self._replaced = threading.Event()
        self._sharing = sharing or Alone()
        self.holding = Holding(query.plan, query.query_id, self._sharing, self._ends)
        self._group_offsets = GroupOffsets(topics, self.group)
        self.changelog = Changelog(servers, topics, names.changelog_topic(service_id, query.query_id))

    # --- from outside -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def refuse(self, reason: str) -> None:
        """Show as failed, instead of a start."""
        self.failure, self.failed_ms = reason, time.time_ns() // 1_000_000
        self._set_state()

    def stop(self, timeout_s: float = 30, batch_s: float = 10) -> None:
        """Commit and end; returns when the thread is gone, or has not gone in time. A batch that takes longer than
        `batch_s` is interrupted, and what was not committed is read again."""
        self.ask_to_stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(min(timeout_s, batch_s))
            self.pulse.interrupt()
            self._thread.join(max(INTERRUPT_S, timeout_s - batch_s))

    def exceed(self, reason: LimitExceeded) -> None:
        """End with a reason, which SHOW QUERIES gives; in the middle of a batch if need be."""
        self.pulse.exceed(reason)

    def ask_to_stop(self) -> None:
        """As `stop`, but without waiting."""
        self._stop.set()

    def source_partitions(self) -> dict[str, int]:
        """How many partitions each of its topics has, as it reads them; empty while it is not reading."""
        return {} if self._reader is None else dict(self.holding.partitions)

    def restart(self) -> None:
        """Commit, and start again with the topics as they are then."""
        self._replaced.set()

    def pause(self) -> None:
        self._paused.set()
        self._set_state()

    def resume(self) -> None:
        self._paused.clear()
        self._set_state()

    def _set_state(self) -> None:
        self.state = "ERROR" if self.failure is not None else "PAUSED" if self._paused.is_set() else "RUNNING"

    def read_partitions(self) -> list[TopicPartition]:
        """The partitions that it reads, with the next offset of each; empty while it is not reading."""
        reader = self._reader
        return [] if reader is None else as_partitions(reader.positions)

    def stats(self, bounds: tuple[Offsets, Offsets] | None = None) -> QueryStats:
        """What it has done. `bounds` are the first and the next offsets of its partitions, where they are known already."""
        return QueryStats(
            self.state,
            self.consumed,
            self.consumed_bytes,
            self.produced,
            self.errors,
            self.last_message_ms,
            self.group,
            self.failure,
            self.failed_ms,
            self._offsets(bounds),
            dict(self.skipped),
            *self._state_size(),
            0.0 if (since_s := self._uncommitted_since_s) is None else time.monotonic() - since_s,
            self._event_lag_s,
        )

    def _state_size(self) -> tuple[int, int]:
        """Entries and bytes of its stores; 0 while it is not running, and where a store changes as it is looked at."""
        topology = self.topology
        if topology is None:
            return 0, 0
        stores = topology.runtime.stores
        try:
            return sum(len(store) for store in list(stores.by_name.values())), stores_bytes(stores)
        except RuntimeError:
            return 0, 0

    def _offsets(self, bounds: tuple[Offsets, Offsets] | None) -> dict[str, list[PartitionOffsets]]:
        """The query's offsets in each partition of its topics; empty while it is not reading."""
        wanted = self.read_partitions()
        if not wanted:
            return {}
        try:
            starts, ends = bounds or self._topics.offsets(wanted)
        except KafkaUnavailable:
            return {}
        result: dict[str, list[PartitionOffsets]] = {}
        for tp in wanted:
            name = (tp.topic, tp.partition)
            if name in ends:
                at = PartitionOffsets(tp.partition, starts[name], ends[name], tp.offset)
                result.setdefault(tp.topic, []).append(at)
        return result

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._work()
        except Interrupted:
            if self.pulse.exceeded is not None:
                self._end(self.pulse.exceeded)

    def _work(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._once()
            except (CorruptBatch, LimitExceeded, UncommittedChanges) as error:
                self._end(error)
                return
            except (KafkaException, KsqlError) as error:
                log.exception(
                    "query %s failed; it starts again from its last commit in %.1f s", self.query.query_id, retry_s
                )
                self._report_failure("Query failed and starts again", error)
                self._stop.wait(retry_s)
                retry_s = FIRST_RETRY_S if time.monotonic() - started > 60 else min(2 * retry_s, LAST_RETRY_S)
                self._set_state()
            except Exception as error:
                self._end(error)
                return

    def _end(self, error: Exception) -> None:
        """End for what would only come again: the reason is in SHOW QUERIES."""
        log.exception("query %s has ended", self.query.query_id)
        self.failed_ms = time.time_ns() // 1_000_000
        self.failure = error.message if isinstance(error, FatalRecordError) else f"{type(error).__name__}: {error}"
        self._report_failure("Query has ended", error)
        self._report.flush()
        error.__traceback__ = None  # its frames have the state, which may be all memory

    def _report_failure(self, what: str, error: Exception) -> None:
        self.errors += 1
        self.state = "ERROR"
        message = f"{what}: {type(error).__name__}: {error}"
        self._report(ProcessingError(self.query.query_id, "STREAMS_THREAD", message))

    def _once(self) -> None:
        """From open to close; raises what went wrong."""
        self._replaced.clear()
        self.pulse.reset()
        try:
            if not self.holding.take(self._partitions):
                if self.holding.is_elsewhere:
                    self.ready.set()
                self.holding.still.set()
                self.holding.wait()
                return
            self._work_on_share()
        finally:
            self.holding.still.set()

    def _work_on_share(self) -> None:
        producer = self._producer(self.group) if self.exactly_once else clients.producer(self.servers)
        consumer = self._group_offsets.connect()
        sender = Sender(producer, self._stop)
        try:
            self._changes = sender if self.exactly_once else None
            if self.exactly_once:
                self._begin_transactions(producer)
            reader = self._open(consumer, sender)
            self._run(reader, sender)
            sender.flush()
        except FatalRecordError:
            if not self.exactly_once:
                sender.flush()  # the results of what came before the record
            raise
        finally:
            self._group_offsets.disconnect()
            (self._reader or consumer).close()
            self._reader = None
            with self.lock:
                self.topology = None
            if self._changes is not None:
                clients.close_producer(self._changes.client, transactional=True)
            if self._changes is not sender:
                clients.close_producer(producer)

    def _ends(self) -> bool:
        """Whether what is at work, or waits for work, has to end."""
        return self._stop.is_set() or self._replaced.is_set()

    def _producer(self, name: str, **settings: Any) -> Producer:
        """A transactional producer of this engine's."""
        if self._sharing.name:
            name, settings = f"{name}-{self._sharing.name}", {**settings, "transaction_timeout_ms": TRANSACTION_MS}
        return clients.producer(self.servers, transactional_id=name, **settings)

    def _begin_transactions(self, producer: Producer) -> None:
        """End what a crash left open: from here on no other process writes for this query."""
        clients.begin_transactions(producer)

    def _partitions(self) -> dict[str, int]:
        known = self._topics.all()
        partitions = {}
        for source in self.query.sources:
            topic = known.get(source.topic)
            if topic is None or topic.error is not None:
                raise KafkaUnavailable(f"Topic '{source.topic}' of {source.name} does not exist.")
            partitions[source.topic] = len(topic.partitions)
        return partitions

    def _open(self, consumer: Consumer, sender: Sender) -> Reader:
        share = self.holding.share
        runtime = Runtime(
            self.query.query_id,
            self._output(sender),
            self._row_error,
            self.query.config,
            partitions=max(self.holding.partitions.values()),
            skipped=self.skipped,
        )
        topology = Topology(self.query.plan, runtime)
        self.stateful = bool(runtime.stores.by_name)
        known = self._restore(topology) if self.stateful else clients.committed(consumer, share)
        reader = Reader(
            self._group_offsets.connect,
            self._topics,
            share,
            known,
            from_beginning=from_beginning(self.query.plan, self.query.config),
            scans=self._scans,
            together=stream_of(self.query.plan),
            times_of=topology.times_of,
            ahead_ms=most_ahead_ms(self.query.plan, makes_stream=self.query.creates and not self.query.plan.is_table),
            lost=self._lost,
            client=consumer,
        )
        self._sender = sender
        self._in_transaction = False
        with self.lock:
            self.topology = topology
        if reader.positions != {t: known.get(t) for t in share}:
            self._commit_start(reader)
        self._reader = reader
        self.ready.set()
        return reader

    def _commit_start(self, reader: Reader) -> None:
        """Store where a query begins: it begins there again, even after a crash before its first commit."""
        if self.exactly_once or self.stateful:
            self._commit(reader)
            self._sender.flush()
        else:
            self._topics.store_group_positions(self.group, reader.positions)

    def _output(self, sender: Sender) -> Callable[[OutputRecord], None]:
        send = sender.send

        def output(record: OutputRecord) -> None:
            self.produced += 1
            send(record)

        return output

    def _restore(self, topology: Topology) -> Positions:
        self._topics.create(self.changelog.topic, 1, TOPIC_CONFIG)
        if self._changes is None:
            # Not compressed: a changelog is compacted, and its records are a tenth of the engine's work as it is.
            producer = self._producer(f"{self.group}-changelog", compression_type="none")
            self._changes = Sender(producer, self._stop)
            self._begin_transactions(producer)
        self._topics.wait_for_transactions(self.changelog.topic, self._stop)
        return self.changelog.restore(topology.runtime.stores, self.holding.own_partitions())

    def _run(self, reader: Reader, sender: Sender) -> None:
        last_commit, consumed = time.monotonic(), self.consumed
        dirty, self._uncommitted_since_s = False, None
        asked_s = 0.0
        while not self._ends():
            if not self.holding.is_current:
                if not self.holding.is_lost:
                    self._commit_last(reader, dirty=dirty)
                    sender.flush()
                    dirty, self._uncommitted_since_s = False, None
                if not self.holding.keep():
                    return
                continue
            if self.pulse.exceeded is not None:
                raise self.pulse.exceeded
            idle = True
            if self._paused.is_set():
                self._stop.wait(POLL_S)
            else:
                idle = not self._step(reader)
                dirty |= not idle
                if dirty and self._uncommitted_since_s is None:
                    self._uncommitted_since_s = time.monotonic()
            if time.monotonic() - asked_s >= ASK_EVERY_S:
                sender.client.poll(0)
                asked_s = time.monotonic()
            self._group_offsets.go_on()
            due_s = self._commit_due_s(idle, many=self.consumed - consumed >= COMMIT_RECORDS)
            if dirty and time.monotonic() - last_commit >= due_s:
                self._commit(reader)
                last_commit, consumed = time.monotonic(), self.consumed
                dirty, self._uncommitted_since_s = False, None
        if not self.holding.is_lost:
            self._commit_last(reader, dirty=dirty)

    def _commit_due_s(self, idle: bool, *, many: bool) -> float:
        """Seconds after which a commit follows the one before, where `many` records came since then or few.

        Where no more come after many, who waits for the end of a back-fill sees it at once.
        """
        if not self._may_be_late or idle != many:
            return self.commit_interval_s
        return 0.0 if idle else max(COMMIT_LATEST_S, self.commit_interval_s)

    def _step(self, reader: Reader) -> bool:
        """Read and process what there is; whether there was anything."""
        batches = reader.poll(POLL_S)
        if not batches:
            passed, self._passed_lost = self._passed_lost, False
            return passed
        if self.exactly_once and not self._in_transaction:
            self._sender.client.begin_transaction()
            self._in_transaction = True
        self.pulse.begin()
        with self.lock:
            assert self.topology is not None
            for partition, records in batches:
                self.topology.feed(partition, records)
                self.consumed += len(records)
                self.consumed_bytes += records.value_bytes()
        self.pulse.end()
        self.last_message_ms = batches[-1][1][-1].time
        self._event_lag_s = time.time() - self.last_message_ms / 1000
        return True

    def _commit(self, reader: Reader) -> None:
        """Commit where the reader is."""
        self._commit_results(reader)
        if not self.exactly_once:
            self._commit_group(reader)

    def _commit_last(self, reader: Reader, *, dirty: bool) -> None:
        """Commit where the reader is, if there was anything since, and wait until the group has it: so that a clean stop
        repeats nothing, here or on another engine."""
        if dirty:
            self._commit_results(reader)
        if not self.exactly_once:
            reader.rest()
            self._group_offsets.finish(reader.positions if dirty else None)

    def _commit_results(self, reader: Reader) -> None:
        """Have Kafka store the results, and the state with its positions."""
        if self._reported:
            self._report.flush()
            self._reported = False
        if self.exactly_once:
            self._commit_transaction(reader)
        elif self.stateful:
            assert self._changes is not None
            self._changes.client.begin_transaction()
            self._write_state(reader, self._changes)
            self._sender.flush()
            self._sharing.fence(self._changes.client)
            self._changes.client.commit_transaction(clients.TRANSACTION_TIMEOUT_S)
        else:
            self._sender.flush()

    def _commit_group(self, reader: Reader) -> None:
        self._group_offsets.store(reader.positions)

    def _write_state(self, reader: Reader, sender: Sender) -> None:
        """Into the open transaction: what changed, and the positions that it means."""
        assert self.topology is not None
        with self.lock:
            self.changelog.write_changes(sender, self.topology.runtime.stores)
        if self.holding.own_partitions() is None:
            self.changelog.write_marker(sender, reader.positions)
        else:
            self.changelog.write_markers(sender, reader.positions)

    def _commit_transaction(self, reader: Reader) -> None:
        client = self._sender.client
        if not self._in_transaction:
            client.begin_transaction()
        if self.stateful:
            self._write_state(reader, self._sender)
        offsets = as_partitions(reader.positions)
        timeout_s = clients.TRANSACTION_TIMEOUT_S
        client.send_offsets_to_transaction(offsets, reader.client.consumer_group_metadata(), timeout_s)
        self._sharing.fence(client)
        client.commit_transaction(timeout_s)
        self._in_transaction = False

    def _lost(self, batch: LostBatch) -> None:
        """Go on behind a corrupt batch: it is counted and reported, and the position behind it is committed."""
        self.skipped[Skip.CORRUPT] += len(batch)
        self._passed_lost = True
        self._row_error(batch.error(self.query.query_id))

    def _row_error(self, error: ProcessingError) -> None:
        self.errors += 1
        self._reported = True
        self._report(error)
