"""The consumer: read both topics, store batch by batch, retry while broker or database are unavailable.

The database holds the offsets: whenever partitions are assigned, and after every failure, the reader seeks to the offsets
stored there. So a failure needs no undoing; what was not stored is read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from streamguard.config import Settings
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.records import Batch, ConsumedRecord, DeadRecord, Decoder, LostRecord, Span
from streamguard.consumer.store import Fenced, Store, Stored
from streamguard.consumer.traces import ConsumerTraces
from streamguard.database import error_message, is_outage, sqlstate
from streamguard.kafka import clients
from streamguard.kafka.corrupt import CorruptBatch, corrupt_batches
from streamguard.kafka.diagnosis import diagnosis
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.consumer import ConsumerMetrics
from streamguard.privacy.protection import NO_PROTECTION, Protection

log = logging.getLogger("streamguard.consumer")

POLL_MS = 200
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
REPORT_EVERY_S = 10.0
COMMIT_EVERY_S = 1.0
MOST_LINGERS = 5
"""A batch waits for more records as long as the one before took to be stored, at most so many times the setting."""

_OF_THE_DATA = ("21", "22", "23", "44", "54", "P0")
"""Classes of SQLSTATE: cardinality, data, constraints, check options, limits, and what a trigger raises."""

Partition = tuple[str, int]


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts changes of the assignment. It runs on the client's own thread, so it does nothing else."""

    def __init__(self) -> None:
        self.changes = 0

    def on_partitions_revoked(self, revoked: object) -> None:
        self.changes += 1

    def on_partitions_assigned(self, assigned: object) -> None:
        self.changes += 1


class Consumer:
    """One member of the consumer group. `run` blocks until `stop` is set."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        stop: threading.Event,
        protection: Protection = NO_PROTECTION,
        metrics: ConsumerMetrics | None = None,
        traces: ConsumerTraces | None = None,
    ) -> None:
        self._settings = settings
        self._traces = traces
        self._metrics = metrics
        self._store = store
        self._publisher = publisher
        self._stop = stop
        self._decoder = Decoder(settings, protection)
        self._positions: dict[Partition, int] = {}
        self._seen_changes = -1
        self._listener = _Assignment()
        self._wait_s = FIRST_WAIT_S
        self._committed_at = 0.0
        self._lasted_s = 0.0
        """How long it took to store the last batch."""
        self._meter = Meter()
        self._unready: str | None = "it has not read from Kafka yet"

    def run(self) -> None:
        """Read and store until `stop` is set. Retries while the broker is unavailable."""
        while not self._stop.is_set():
            try:
                reader = self._connect()
            except KafkaError as error:
                cluster = self._settings.kafka
                self._pause(f"Kafka at {cluster} is unavailable ({diagnosis(cluster) or _short(error)})")
                continue
            try:
                self._read(reader)
            except CorruptRecordError as error:
                # The reader is of no more use: polled again at the same place, its client never returns.
                self._leave_behind(reader, error)
            except KafkaError as error:
                self._pause(f"reading failed ({_short(error)}); reconnecting")
            finally:
                self._seen_changes = -1
                self._positions = {}
                _close(reader)

    def _connect(self) -> KafkaConsumer:
        settings = self._settings
        # Also after an outage: whoever makes them first gives them their settings.
        ensure_topics(settings)
        reader = clients.consumer(
            settings.kafka,
            client_id="streamguard-consumer",
            group_id=settings.consumer_group,
            # A member with a name of its own takes its partitions back at once after a crash (KIP-345).
            group_instance_id=settings.consumer_instance or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=settings.batch_max_records,
            max_partition_fetch_bytes=1024 * 1024,
            # With a handful of partitions a fetch session (KIP-227) saves nothing, and we seek back often.
            enable_incremental_fetch_sessions=False,
            bootstrap_timeout_ms=5_000,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=2_000,
            allow_auto_create_topics=False,
            metadata_max_age_ms=10_000,
        )
        reader.subscribe([settings.transactions_topic, settings.alerts_topic], listener=self._listener)
        log.info("reading %s and %s as group %s", *sorted(reader.subscription()), settings.consumer_group)
        return reader

    def _read(self, reader: KafkaConsumer) -> None:
        while not self._stop.is_set():
            polled: dict[TopicPartition, list[ConsumedRecord]] = reader.poll(timeout_ms=POLL_MS)
            try:
                if self._assignment_changed(reader):
                    # What was polled may come from the offset that the group committed; the database's is the right one.
                    self._seek(reader)
                    continue
                if polled:
                    self._store_polled(reader, polled)
                self._housekeeping(reader)
                self._wait_s, self._unready = FIRST_WAIT_S, None
            except Fenced as error:
                log.info("%s; seeking to the stored offsets", error)
                self._seen_changes = -1
            except Exception as error:
                if not is_outage(error):
                    raise
                self._seen_changes = -1
                self._outage(reader, error)

    def _assignment_changed(self, reader: KafkaConsumer) -> bool:
        assigned = {(partition.topic, partition.partition) for partition in reader.assignment()}
        return self._listener.changes != self._seen_changes or assigned != self._positions.keys()

    def _seek(self, reader: KafkaConsumer) -> None:
        """Continue from the offsets of the database."""
        changes = self._listener.changes
        assigned = sorted(reader.assignment())
        self._positions = self._store.offsets((p.topic, p.partition) for p in assigned)
        try:
            for partition in assigned:
                reader.seek(partition, self._positions[partition.topic, partition.partition])
            if assigned:
                reader.resume(*assigned)
        except AssertionError:
            # The client asserts that a partition is assigned; it was revoked just now. The next round seeks again.
            return
        self._seen_changes = changes
        self._store.is_alone = all(
            len(reader.partitions_for_topic(topic) or ()) == sum(p.topic == topic for p in assigned)
            for topic in (self._settings.transactions_topic, self._settings.alerts_topic)
        )
        self._report_losses(reader, assigned)
        self._publisher.lead((self._settings.transactions_topic, 0) in self._positions)
        log.info("assigned %s", ", ".join(f"{t}/{p} from {o:,}" for (t, p), o in self._positions.items()) or "nothing")

    def _report_losses(self, reader: KafkaConsumer, assigned: Sequence[TopicPartition]) -> None:
        """Report the records that retention deleted before they were read; they are lost."""
        for partition, begin in reader.beginning_offsets(assigned).items() if assigned else ():
            stored = self._positions[partition.topic, partition.partition]
            if 0 < stored < begin:
                log.error(
                    "%s/%d begins at %d now: offsets from %d on were deleted before they were read",
                    *partition,
                    begin,
                    stored,
                    extra={"topic": partition.topic, "partition": partition.partition, "offset": stored},
                )

    def _store_polled(self, reader: KafkaConsumer, polled: dict[TopicPartition, list[ConsumedRecord]]) -> None:
        linger_s = self._settings.batch_linger_ms / 1000
        urgent = any(partition.topic == self._settings.alerts_topic for partition in polled)
        if linger_s and not urgent and sum(map(len, polled.values())) < self._settings.batch_max_records // 10:
            # A short wait makes one commit of what would be many; the slower the machine, the fewer it can have. Alerts are what
            # somebody waits for: with one the batch is stored at once.
            time.sleep(min(max(linger_s, self._lasted_s), MOST_LINGERS * linger_s))
            for partition, records in reader.poll(timeout_ms=0).items():
                polled.setdefault(partition, []).extend(records)
            if self._listener.changes != self._seen_changes:
                return
        records = {(p.topic, p.partition): found for p, found in polled.items()}
        if not self._in_place(reader, records):
            self._seen_changes = -1
            return
        self.store_records(self._positions, records)

    def _leave_behind(self, reader: KafkaConsumer, error: CorruptRecordError) -> None:
        """Make a dead letter of each offset of the corrupt batches in front of the reader: the next one is behind them."""
        try:
            self._seek(reader)
            positions = {TopicPartition(*partition): offset for partition, offset in self._positions.items()}
            batches = corrupt_batches(self._settings.kafka, positions)
            for lost in batches:
                log.error("%s", lost, extra={"topic": lost.topic, "partition": lost.partition, "offset": lost.first})
                for first in range(lost.first, lost.next_offset, self._settings.batch_max_records):
                    self._write(self._lost(lost, first))
            # The next reader polls once before it seeks: from where the group is.
            reader.commit(self._group_offsets())
            if not batches:
                self._pause(f"reading failed ({_short(error)}); reconnecting")
        except Fenced as fenced:
            log.info("%s; reconnecting", fenced)
        except KafkaError as unavailable:
            self._pause(f"reading failed ({_short(unavailable)}); reconnecting")
        except Exception as failed:
            if not is_outage(failed):
                raise
            self._pause(f"the database is unavailable ({error_message(failed)})")

    def _lost(self, lost: CorruptBatch, first: int) -> Batch:
        """A batch of the offsets from `first` on that are lost, at most as many as a batch has."""
        partition = (lost.topic, lost.partition)
        behind = min(lost.next_offset, first + self._settings.batch_max_records)
        records = [LostRecord(*partition, offset) for offset in range(first, behind)]
        span = Span(self._positions[partition], behind, len(records))
        return Batch({partition: span}, dead=[DeadRecord(record, lost.reason) for record in records])

    def store_records(self, positions: dict[Partition, int], records: dict[Partition, list[Any]]) -> None:
        """Store records that continue from `positions`; what the database rejects becomes a dead letter, record by record.

        Raises Fenced and outages; then it is unknown whether the batch is stored, and the caller seeks to the stored offsets.
        """
        self._positions = positions
        try:
            self._write(self._decode(records))
        except Exception as error:
            if not _is_rejection(error):
                raise
            self._isolate(records, error)

    def _in_place(self, reader: KafkaConsumer, records: dict[Partition, list[ConsumedRecord]]) -> bool:
        """Whether every partition continues at or after its stored offset; a topic that was made anew may start over."""
        for (topic, number), found in records.items():
            stored = self._positions.get((topic, number))
            if stored is None:
                return False
            if found[0].offset < stored:
                partition = TopicPartition(topic, number)
                if reader.end_offsets([partition])[partition] >= stored:
                    return False
                log.warning(
                    "%s/%d ends before the stored offset %d: the topic was made anew; re-reading from the start",
                    *partition,
                    stored,
                    extra={"topic": topic, "partition": number, "offset": stored},
                )
                self._store.forget_replacements()
        return True

    def _decode(self, records: dict[Partition, list[ConsumedRecord]]) -> Batch:
        batch = Batch()
        for partition, found in records.items():
            self._decoder.add(batch, self._positions[partition], found)
        return batch

    def _write(self, batch: Batch) -> None:
        """Store a batch and keep the offsets that the database has now."""
        started_s = time.monotonic()
        stored = self._store.write(batch) if self._traces is None else self._traces.write(self._store, batch)
        for partition, span in batch.spans.items():
            self._positions[partition] = span.next_offset
        records = sum(span.records for span in batch.spans.values())
        self._lasted_s = time.monotonic() - started_s
        if self._metrics is not None:
            self._metrics.batch(records, self._lasted_s)
        self._count(stored, [transaction.event_time for _, transaction in batch.transactions])
        if stored.outbox:
            self._publisher.wake()

    def _isolate(self, records: dict[Partition, list[ConsumedRecord]], error: BaseException) -> None:
        """The database rejected a batch: halve it until the record that it rejects is alone; that one becomes a dead letter."""
        flat = [(partition, record) for partition, found in records.items() for record in found]
        if len(flat) == 1:
            partition, record = flat[0]
            batch = Batch(dead=[DeadRecord(record, f"the database rejects it: {error_message(error)}")])
            batch.spans[partition] = Span(self._positions[partition], record.offset + 1, 1)
            self._write(batch)
            return
        middle = len(flat) // 2
        for half in (flat[:middle], flat[middle:]):
            part = _by_partition(half)
            try:
                self._write(self._decode(part))
            except Exception as rejected:
                if not _is_rejection(rejected):
                    raise
                self._isolate(part, rejected)

    def _housekeeping(self, reader: KafkaConsumer) -> None:
        self._publisher.check()
        now = time.monotonic()
        if now - self._committed_at >= COMMIT_EVERY_S:
            self._committed_at = now
            self._commit(reader)
            self._store_waiting()
        self._meter.report(now)

    def _store_waiting(self) -> None:
        """What waits for no record: alerts held around the replacement of their rule, those to be looked at again."""
        for stored in (self._store.store_held(), self._store.look_again()):
            self._count(stored)
            if stored.outbox:
                self._publisher.wake()

    def _count(self, stored: Stored, event_times_ms: Sequence[int] = ()) -> None:
        self._meter.count(stored)
        if (metrics := self._metrics) is None:
            return
        now_s = time.time()
        metrics.stored(stored.transactions, stored.alerts, event_times_ms, now_s)
        for dead in stored.dead:
            metrics.dead(dead.record.topic, dead.reason)
        for judged in stored.judged:
            metrics.decided(judged.rule, judged.outcome, judged.event_time_s, now_s)
        if stored.refused:
            metrics.refused(stored.refused)
        if log.isEnabledFor(logging.DEBUG):
            _tell(stored)

    def _commit(self, reader: KafkaConsumer) -> None:
        """Commit to the broker too, for tools that show lag; the offsets that count are those of the database."""
        if self._positions:
            reader.commit_async(offsets=self._group_offsets(), callback=lambda *_: None)

    def _group_offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        return {TopicPartition(t, p): OffsetAndMetadata(o, "", -1) for (t, p), o in self._positions.items()}

    def _outage(self, reader: KafkaConsumer, error: BaseException) -> None:
        """Wait, staying a member of the group: pause, keep polling, and seek again later."""
        assigned = reader.assignment()
        if assigned:
            reader.pause(*assigned)
        self._pause(f"the database is unavailable ({error_message(error)})")

    def ready(self) -> str | None:
        """Why nothing is stored now; None where records that come are."""
        return self._unready

    def _pause(self, sentence: str) -> None:
        if self._metrics is not None:
            self._metrics.outage()
        self._unready = sentence
        log.warning("%s; retrying in %.1f s", sentence, self._wait_s)
        self._stop.wait(self._wait_s)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)


class Meter:
    """Counts what was stored and logs it every few seconds, where there is something to log."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._counts = [0, 0, 0]

    def count(self, stored: Stored) -> None:
        for index, count in enumerate((stored.transactions, stored.alerts, stored.dead_letters)):
            self._counts[index] += count

    def report(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed < REPORT_EVERY_S:
            return
        if any(self._counts):
            transactions, alerts, dead = self._counts
            log.info(
                "stored %d transactions, %d alerts, %d dead letters in %.0f s (%.0f/s)",
                *(transactions, alerts, dead, elapsed, (transactions + alerts + dead) / elapsed),
            )
        self._since, self._counts = now, [0, 0, 0]


def _tell(stored: Stored) -> None:
    """A line for each decision and each dead letter."""
    for judged in stored.judged:
        about = {"alert_id": judged.alert_id, "transaction_id": judged.transaction_id}
        log.debug("decided %s: %s (%d)", judged.alert_id, judged.outcome, judged.score, extra=about)
    for dead in stored.dead:
        place = {"topic": dead.record.topic, "partition": dead.record.partition, "offset": dead.record.offset}
        log.debug("dead letter %s/%d/%d: %s", *place.values(), dead.reason, extra=place)


def _is_rejection(error: Exception) -> bool:
    """Whether the database rejects the data itself: it is neither unavailable nor in a state that fits no data at all.

    In the latter (a missing column, a missing privilege) the process ends: no record may be given up for it.
    """
    return (sqlstate(error) or "").startswith(_OF_THE_DATA)


def _by_partition(flat: Sequence[tuple[Partition, ConsumedRecord]]) -> dict[Partition, list[ConsumedRecord]]:
    found: dict[Partition, list[ConsumedRecord]] = {}
    for partition, record in flat:
        found.setdefault(partition, []).append(record)
    return found


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _close(reader: Any) -> None:
    try:
        reader.close(autocommit=False, timeout_ms=2_000)
    except (KafkaError, OSError, RuntimeError) as error:
        log.info("closing the reader: %s", _short(error))
