"""Dead letters on their way to the topic `dead_letters`: once each, although the row and the topic are two systems.

The row is written with the batch, marked unpublished. Afterwards it is sent to the topic and marked. A process killed
between the two leaves a row that is marked unpublished and yet sent; so whoever starts (or failed before) first reads
the topic to see which of the unpublished are there already, by the header `source`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Engine

from streamguard.kafka.topics import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES
from streamguard.models import DeadLetter

log = logging.getLogger("streamguard.consumer")

BATCH = 200
RETRY_AFTER_S = 2.0
WAIT_S = 20.0

_UNPUBLISHED = """
SELECT source_topic, source_partition, source_offset, reason, raw_key, raw_value,
    (extract(epoch FROM failed_at) * 1000)::BIGINT
FROM dead_letters
WHERE NOT published AND (source_topic, source_partition) IN %s
ORDER BY source_topic, source_partition, source_offset
LIMIT %s
FOR UPDATE SKIP LOCKED
"""
_ANY_UNPUBLISHED = """
SELECT EXISTS (SELECT FROM dead_letters WHERE NOT published AND (source_topic, source_partition) IN %s)
"""
_MARK = """
UPDATE dead_letters SET published = TRUE
WHERE (source_topic, source_partition, source_offset) IN %s
"""

Source = tuple[str, int, int]


class Outbox:
    """Sends the unpublished rows of this member's partitions. Trouble with the log is said, and tried again later."""

    def __init__(self, engine: Engine, bootstrap_servers: str, topic: str) -> None:
        self._engine = engine
        self._bootstrap = bootstrap_servers.split(",")
        self._topic = topic
        self._producer: KafkaProducer | None = None
        self._maybe_some = True
        self._maybe_sent = True
        self._not_before = 0.0

    def suspect(self) -> None:
        """There may be unpublished rows: look at the next occasion."""
        self._maybe_some = True

    def taken_over(self) -> None:
        """There may be rows of a member that is gone, who sent them and could not mark them."""
        self._maybe_some = self._maybe_sent = True

    def publish(self, partitions: Iterable[tuple[str, int]]) -> int:
        """Send what is unpublished; returns how many rows were marked. Database errors pass through."""
        owned = tuple(partitions)
        if not self._maybe_some or not owned or time.monotonic() < self._not_before:
            return 0
        marked = 0
        try:
            while count := self._publish_some(owned):
                marked += count
        except (KafkaError, OSError) as error:
            self._maybe_sent = True
            self._not_before = time.monotonic() + RETRY_AFTER_S
            log.warning("dead letters wait for the log: %s", str(error).splitlines()[0] if str(error) else error)
            return marked
        # What another member holds was passed over. It may be gone before it has sent them.
        self._maybe_some = self._maybe_sent = self._are_some(owned)
        if self._maybe_some:
            self._not_before = time.monotonic() + RETRY_AFTER_S
        return marked

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=2)

    def _are_some(self, owned: tuple[tuple[str, int], ...]) -> bool:
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(_ANY_UNPUBLISHED, (owned,))
            [(some,)] = cursor.fetchall()
            return bool(some)

    def _publish_some(self, owned: tuple[tuple[str, int], ...]) -> int:
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(_UNPUBLISHED, (owned, BATCH))
            rows = cursor.fetchall()
            if not rows:
                return 0
            sources: list[Source] = [tuple(row[:3]) for row in rows]
            already = self._already_sent(set(sources)) if self._maybe_sent else set()
            self._send([row for row in rows if tuple(row[:3]) not in already])
            cursor.execute(_MARK, (tuple(sources),))
        return len(rows)

    def _send(self, rows: Sequence[Sequence[Any]]) -> None:
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id="streamguard-dead-letters",
                acks="all",
                enable_idempotence=True,
                max_request_size=MAX_DEAD_LETTER_BYTES,
                max_block_ms=int(WAIT_S * 1000),
            )
        waiting = []
        for topic, partition, offset, reason, key, value, failed_at in rows:
            letter = _letter(topic, partition, offset, reason, _bytes(key), _bytes(value), failed_at)
            headers = [("source", source_header((topic, partition, offset)))]
            waiting.append(self._producer.send(self._topic, key=letter.key, value=letter.to_json(), headers=headers))
        for sent in waiting:
            sent.get(timeout=WAIT_S)

    def _already_sent(self, wanted: set[Source]) -> set[Source]:
        """Which of `wanted` the topic has. Reads the topic whole: dead letters are few, and this is after a crash."""
        keys = {source_header(source): source for source in wanted}
        reader = KafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False)
        found: set[Source] = set()
        try:
            numbers = reader.partitions_for_topic(self._topic) or set()
            partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
            if not partitions:
                return found
            ends = reader.end_offsets(partitions)
            reader.assign(partitions)
            reader.seek_to_beginning(*partitions)
            deadline = time.monotonic() + WAIT_S
            while any(reader.position(p) < ends[p] for p in partitions):
                if time.monotonic() > deadline:
                    raise KafkaError(f"the topic {self._topic} could not be read within {WAIT_S:.0f} s")
                for records in reader.poll(timeout_ms=200).values():
                    deadline = time.monotonic() + WAIT_S
                    found |= {
                        keys[value] for r in records for name, value in r.headers if name == "source" and value in keys
                    }
            return found
        finally:
            reader.close(autocommit=False)


def source_header(source: Source) -> bytes:
    """The header that names where a dead letter came from: `topic/partition/offset`."""
    return "/".join(map(str, source)).encode()


def _letter(
    topic: str, partition: int, offset: int, reason: str, key: bytes | None, value: bytes | None, failed_at: int
) -> DeadLetter:
    if value is not None and len(value) > MAX_RECORD_BYTES:
        reason += f" (its {len(value):,} bytes are in the table dead_letters only)"
        value = None
    return DeadLetter(
        topic=topic, partition=partition, offset=offset, reason=reason, key=key, value=value, failed_at=failed_at
    )


def _bytes(column: memoryview | None) -> bytes | None:
    return None if column is None else bytes(column)
