"""Records of the outbox on their way to their topics: once each, although database and broker are two systems.

1. Every member of the consumer group has a publisher; the one that is assigned the first partition sends (`lead`).
2. Its producer has a transactional id. Whoever becomes the leader starts a producer with the same id, which fences the one
   before (KIP-98): what that has not committed is aborted, and it can commit nothing more.
3. Records are sent in one Kafka transaction, and only then removed from the outbox, in one database transaction with the
   offsets behind them (`outbox_positions`).
4. A crash between the two leaves records in the outbox that their topic has. So a new producer, and one after any error,
   first reads the topics from those offsets to their end: what it finds, by the header `id`, is not sent again.

It runs on a thread of its own: a commit of the broker must not hold up the storing of the next batch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kafka import KafkaProducer
from kafka.errors import KafkaError
from psycopg2.extras import execute_values
from sqlalchemy import Engine

from streamguard.consumer.traces import ConsumerTraces
from streamguard.database import error_message, is_outage
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, fetch
from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.producers import close_producer
from streamguard.kafka.topic_reader import TopicNotRead, TopicReader
from streamguard.kafka.topics import MAX_DEAD_LETTER_BYTES
from streamguard.metrics.traces import HEADER

log = logging.getLogger("streamguard.consumer")

BATCH = 500
MAX_BATCH_BYTES = 16 * 1024 * 1024
IDLE_S = 0.25
"""How often the outbox is looked at for what others wrote, analysts above all."""
PAUSE_S = 0.2
"""Between two transactions: one with the records of several batches costs broker and disk as much as one of each."""
RETRY_S = 2.0
ACKNOWLEDGED_WITHIN_S = 20.0


@dataclass(frozen=True)
class _Waiting:
    """A record of the outbox."""

    record_no: int
    id: UUID
    topic: str
    key: memoryview | None
    value: memoryview


@dataclass(frozen=True)
class _Position:
    partition_no: int
    next_offset: int


# At least one record, then as many as fit.
_WAITING = f"""
SELECT {columns_of(_Waiting)} FROM (
    SELECT *, sum(length(value)) OVER (ORDER BY record_no) - length(value) AS bytes_before
    FROM (SELECT * FROM outbox ORDER BY record_no LIMIT {BATCH}) first
) sized
WHERE bytes_before < {MAX_BATCH_BYTES}
ORDER BY record_no
"""

_MOVE_POSITIONS = """
INSERT INTO outbox_positions (topic, partition_no, next_offset) VALUES %s
ON CONFLICT (topic, partition_no) DO UPDATE SET next_offset = excluded.next_offset
"""


class Publisher:
    """Sends the records of the outbox while it leads. `run` blocks until `close`; `publish` sends what is there now."""

    def __init__(self, engine: Engine, servers: Servers, group: str, traces: ConsumerTraces | None = None) -> None:
        self._traces = traces
        self._engine = engine
        self._servers = servers
        self._transactional_id = f"{group}-outbox"
        self._producer: KafkaProducer | None = None
        self._leads = False
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to send, on a thread of its own."""
        self._thread.start()

    def lead(self, leads: bool) -> None:
        """Whether this member is the one that sends."""
        self._leads = leads
        self._wake.set()

    def wake(self) -> None:
        """There may be records: look at once."""
        self._wake.set()

    def check(self) -> None:
        """Raises what the thread ended with, if it did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Send what is there, and end; waits for it."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=ACKNOWLEDGED_WITHIN_S)
        self._drop_producer()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait(IDLE_S)
                self._wake.clear()
                if self._leads:
                    self._closing.wait(PAUSE_S if self._try_publish() else RETRY_S)
                else:
                    self._drop_producer()
            if self._leads:
                self._try_publish()
        except BaseException as error:
            self._error = error
            log.exception("sending the outbox failed")

    def _try_publish(self) -> bool:
        """Send all; False if the broker or the database is unavailable."""
        try:
            while self.publish():
                pass
            return True
        except (KafkaError, OSError, TopicNotRead) as error:
            self._drop_producer()
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("decisions and dead letters wait in the outbox: %s; retrying in %.0f s", reason, RETRY_S)
        except Exception as error:
            self._drop_producer()
            if not is_outage(error):
                raise
            log.warning("the outbox is unavailable (%s); retrying in %.0f s", error_message(error), RETRY_S)
        return False

    def publish(self) -> int:
        """Send the first records of the outbox; returns how many have left it. Errors of broker and database pass."""
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s) AS taken", (int(Lock.OUTBOX),))
            [(taken,)] = cursor.fetchall()
            if not taken:
                return 0
            cursor.execute(_WAITING)
            waiting = fetch(cursor, _Waiting)
            if not waiting:
                return 0
            positions: dict[tuple[str, int], int] = {}
            missing: Sequence[_Waiting] = waiting
            if self._producer is None:
                self._producer = self._connect()
                sent = self._already_sent(cursor, waiting, positions)
                missing = [record for record in waiting if record.id not in sent]
            if missing:
                positions |= self._send(self._producer, missing)
            rows = [(topic, partition, offset) for (topic, partition), offset in sorted(positions.items())]
            if rows:
                execute_values(cursor, _MOVE_POSITIONS, rows)
            cursor.execute("DELETE FROM outbox WHERE record_no = ANY(%s)", ([record.record_no for record in waiting],))
        return len(waiting)

    def _connect(self) -> KafkaProducer:
        """A producer that has fenced every earlier one of this outbox."""
        producer = clients.producer(
            self._servers,
            client_id="streamguard-outbox",
            transactional_id=self._transactional_id,
            # Longer than the database lets a transaction of ours stand still.
            transaction_timeout_ms=60_000,
            acks="all",
            # A decision is two thousand bytes of JSON, much like the one before.
            compression_type="lz4",
            max_request_size=MAX_DEAD_LETTER_BYTES,
            max_block_ms=int(ACKNOWLEDGED_WITHIN_S * 1000),
            bootstrap_timeout_ms=5_000,
        )
        try:
            producer.init_transactions()
        except BaseException:
            close_producer(producer, abandon=True)
            raise
        return producer

    def _send(self, producer: KafkaProducer, records: Iterable[_Waiting]) -> dict[tuple[str, int], int]:
        """Send in one transaction; returns the offset behind the last record of each partition."""
        producer.begin_transaction()
        spans: list[Any] = []
        futures = [
            producer.send(
                record.topic,
                key=None if record.key is None else bytes(record.key),
                value=bytes(record.value),
                headers=[("id", str(record.id).encode()), *self._trace(record, spans)],
            )
            for record in records
        ]
        acknowledged = [future.get(timeout=ACKNOWLEDGED_WITHIN_S) for future in futures]
        producer.commit_transaction()
        if self._traces is not None:
            self._traces.end(spans)
        positions: dict[tuple[str, int], int] = {}
        for metadata in acknowledged:
            partition = (metadata.topic, metadata.partition)
            positions[partition] = max(positions.get(partition, 0), metadata.offset + 1)
        return positions

    def _trace(self, record: _Waiting, spans: list[Any]) -> list[tuple[str, bytes]]:
        """The header of a decision with a trace, whose span is added to `spans`."""
        span = None if self._traces is None else self._traces.begin(bytes(record.value))
        if self._traces is None or span is None:
            return []
        spans.append(span)
        header = self._traces.header(span)
        return [] if header is None else [(HEADER, header)]

    def _already_sent(
        self, cursor: Any, waiting: Iterable[_Waiting], positions: dict[tuple[str, int], int]
    ) -> set[UUID]:
        """The ids that the topics hold behind the last known offsets; moves `positions` to their ends."""
        found: set[UUID] = set()
        for topic in sorted({record.topic for record in waiting}):
            cursor.execute(f"SELECT {columns_of(_Position)} FROM outbox_positions WHERE topic = %s", (topic,))
            start = {position.partition_no: position.next_offset for position in fetch(cursor, _Position)}
            reader = TopicReader(self._servers, topic, start)
            for record in reader:
                found.update(UUID(value.decode()) for name, value in record.headers if name == "id")
            positions.update({(topic, partition): end for partition, end in reader.ends.items()})
        return found

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # What it has not sent is in the outbox still.
            close_producer(producer, abandon=True)
