"""From the topic of decisions to a row for each webhook that wants one, in one database transaction with the offsets."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, UnknownTopicOrPartitionError
from psycopg2.extras import execute_values
from sqlalchemy import Connection, Engine, text

from streamguard.config import Settings
from streamguard.kafka import clients
from streamguard.kafka.corrupt import skip_corrupt
from streamguard.webhooks import offsets
from streamguard.webhooks.hooks import Hook, hooks

log = logging.getLogger("streamguard.webhooks")

POLL_MS = 500
BATCH = 500
LOOK_AGAIN_S = 5.0
"""How often it is looked whether there still are webhooks while nothing is decided."""

# Also those that are off: what is decided meanwhile waits. Nobody removes one until the rows are stored.
_LOCK_HOOKS = text("SELECT hook_no FROM webhooks FOR KEY SHARE")
_INSERT = "INSERT INTO webhook_deliveries (hook_no, topic, partition_no, record_offset, payload) VALUES %s"


class Moved(Exception):
    """The database has other offsets: another desk has stored these records."""


class Reader:
    """Reads while there are webhooks. `stored` is called when there are new deliveries."""

    def __init__(self, settings: Settings, engine: Engine, closing: threading.Event) -> None:
        self._settings = settings
        self._topic = settings.decisions_topic
        self._engine = engine
        self._closing = closing
        self._positions: dict[int, int] = {}
        self._looked_at = 0.0

    def read(self, stored: threading.Event) -> None:
        """Read and store until there is no webhook, or the desk ends. Raises errors of Kafka and of the database."""
        consumer = self._connect()
        try:
            partitions = self._seek(consumer)
            while not self._closing.is_set():
                lost: dict[int, int] = {}
                polled: dict[TopicPartition, list[Any]] = {}
                try:
                    polled = consumer.poll(timeout_ms=POLL_MS)
                except CorruptRecordError as error:
                    servers = self._settings.kafka
                    lost = {b.partition: b.next_offset - b.first for b in skip_corrupt(servers, consumer, error)}
                records = [record for found in polled.values() for record in found]
                positions = self._positions | {p.partition: consumer.position(p) for p in consumer.assignment()}
                if not self._store(records, positions, lost):
                    return
                if records:
                    stored.set()
                if consumer.partitions_for_topic(self._topic) != partitions:
                    log.info("the topic %s has other partitions: reading them all", self._topic)
                    return
        except Moved:
            log.info("another desk reads decisions for webhooks: continuing behind it")
        finally:
            consumer.close(autocommit=False)

    def _connect(self) -> KafkaConsumer:
        return clients.consumer(
            self._settings.kafka,
            client_id="streamguard-webhooks",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=BATCH,
            allow_auto_create_topics=False,
            metadata_max_age_ms=30_000,
            bootstrap_timeout_ms=5_000,
        )

    def _seek(self, consumer: KafkaConsumer) -> set[int]:
        """Continue where the database is; the numbers of the partitions."""
        numbers = set(consumer.partitions_for_topic(self._topic) or ())
        if not numbers:
            raise UnknownTopicOrPartitionError(self._topic)
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        # Before Kafka is asked: what another desk reads meanwhile must not look like a topic that ends too early.
        with self._engine.begin() as connection:
            known = offsets.places(connection, self._topic)
        first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        moved: dict[int, int] = {}
        lost: dict[int, int] = {}
        for partition in partitions:
            wanted = known.get(partition.partition, 0)
            start = _start(wanted, first[partition], ends[partition])
            consumer.seek(partition, start)
            if start != known.get(partition.partition):
                moved[partition.partition] = start
                lost[partition.partition] = _report(partition, wanted, start)
        with self._engine.begin() as connection:
            if offsets.places(connection, self._topic) != known:
                raise Moved
            if hooks(connection):
                offsets.move(connection, self._topic, moved, lost)
        self._positions = known | moved
        return numbers

    def _store(self, records: Sequence[Any], positions: dict[int, int], lost: dict[int, int]) -> bool:
        """Store the deliveries of these records with the offsets behind them; False where there is no webhook any more."""
        if positions == self._positions and time.monotonic() - self._looked_at < LOOK_AGAIN_S:
            return True
        self._looked_at = time.monotonic()
        with self._engine.begin() as connection:
            if not connection.execute(_LOCK_HOOKS).all():
                return False
            if offsets.places(connection, self._topic) != self._positions:
                raise Moved
            _insert(connection, hooks(connection), records)
            offsets.move(connection, self._topic, positions, lost)
        self._positions = positions
        return True


def _start(wanted: int, first: int, end: int) -> int:
    """Where to begin: a topic that ends before the offset was made anew, and is read from its beginning."""
    return first if wanted > end else max(wanted, first)


def _report(partition: TopicPartition, wanted: int, start: int) -> int:
    """Say what cannot be read any more; how many offsets. A partition that was never read begins where it does."""
    if start < wanted:
        log.warning("%s/%d ends before offset %d: it was made anew and is read whole", *partition, wanted)
        return 0
    if 0 < wanted < start:
        log.error(
            "%s/%d begins at offset %d: %d to %d were removed before webhooks got them",
            *partition,
            start,
            wanted,
            start - 1,
        )
        return start - wanted
    return 0


def _insert(connection: Connection, all_hooks: Sequence[Hook], records: Iterable[Any]) -> None:
    """A row for each webhook that wants the record, in the order of the records."""
    rows = []
    for record in records:
        if record.value is None:
            log.warning("%s/%d/%d is empty: no webhook gets it", record.topic, record.partition, record.offset)
            continue
        outcome, rule = _fields(record)
        place = (record.topic, record.partition, record.offset, record.value)
        rows += [(hook.hook_no, *place) for hook in all_hooks if hook.wants(outcome, rule)]
    if rows:
        execute_values(connection.connection.cursor(), _INSERT, rows, page_size=len(rows))


def _fields(record: Any) -> tuple[str | None, str | None]:
    """The outcome and the rule of a decision. What is none goes to webhooks that want all."""
    try:
        value = orjson.loads(record.value)
        return value.get("outcome"), value.get("rule")
    except (orjson.JSONDecodeError, AttributeError):
        log.warning(
            "%s/%d/%d is no decision: only webhooks that want all get it", record.topic, record.partition, record.offset
        )
        return None, None
