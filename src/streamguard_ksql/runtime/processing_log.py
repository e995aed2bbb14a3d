"""The processing log: what could not be read, evaluated or written, as records of a topic and rows of a stream.

Source: docs/reference/processing-log.md of the ksqlDB manual; message types: 0 deserialization, 1 record processing,
2 production, 3 serialization, 4 a query's thread.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import KafkaException

from streamguard_ksql.catalog import STREAM, DataSource, TopicFormat
from streamguard_ksql.operators.base import ProcessingError
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.parser import parse_schema
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import Servers
from streamguard_ksql.schema import Column, Schema

log = logging.getLogger(__name__)
NAME = "KSQL_PROCESSING_LOG"
LARGEST_SAMPLE_BYTES = 64 * 1024
"""Of a record that could not be read no more than this is kept: the processing log is no storage."""

COLUMNS = (
    "LOGGER STRING, LEVEL STRING, TIME BIGINT, MESSAGE STRUCT<TYPE INTEGER, "
    "DESERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORDB64 STRING, CAUSE ARRAY<STRING>, `topic` STRING>, "
    "RECORDPROCESSINGERROR STRUCT<ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>>, "
    "PRODUCTIONERROR STRUCT<ERRORMESSAGE STRING>, "
    "SERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>, `topic` STRING>, "
    "KAFKASTREAMSTHREADERROR STRUCT<ERRORMESSAGE STRING, THREADNAME STRING, CAUSE ARRAY<STRING>>>"
)


def source(topic: str) -> DataSource:
    """The stream over the processing log."""
    columns = tuple(Column(d.name, d.type) for d in parse_schema(COLUMNS))
    sql = (
        f"CREATE STREAM {NAME} ({COLUMNS}) WITH (CLEANUP_POLICY='delete', KAFKA_TOPIC='{topic}', KEY_FORMAT='KAFKA', "
        "VALUE_FORMAT='JSON');"
    )
    return DataSource(
        NAME, STREAM, Schema((), columns), topic, TopicFormat("KAFKA"), TopicFormat("JSON"), sql=sql, partitions=1
    )


def record(topic: str, error: ProcessingError, time_ms: int) -> OutputRecord:
    """An entry as the record that the topic takes."""
    message: dict[str, Any] = {
        "type": 0,
        "deserializationError": None,
        "recordProcessingError": None,
        "productionError": None,
        "serializationError": None,
        "kafkaStreamsThreadError": None,
    }
    cause = list(error.cause)
    match error.kind:
        case "DESERIALIZATION":
            sample = None if error.record is None else base64.b64encode(error.record[:LARGEST_SAMPLE_BYTES]).decode()
            message["deserializationError"] = {
                "target": error.target,
                "errorMessage": error.message,
                "recordB64": sample,
                "cause": cause,
                "topic": error.topic,
            }
        case "SERIALIZATION":
            message["type"] = 3
            message["serializationError"] = {
                "target": error.target,
                "errorMessage": error.message,
                "record": _sample(error.row),
                "cause": cause,
                "topic": error.topic,
            }
        case "STREAMS_THREAD":
            message["type"] = 4
            message["kafkaStreamsThreadError"] = {
                "errorMessage": error.message,
                "threadName": error.logger,
                "cause": cause,
            }
        case _:
            message["type"] = 1
            message["recordProcessingError"] = {
                "errorMessage": error.message,
                "record": _sample(error.row),
                "cause": cause,
            }
    entry = {"level": "ERROR", "logger": f"processing.{error.logger}", "time": time_ms, "message": message}
    return OutputRecord(topic, None, _json(entry), time_ms)


def _json(entry: dict[str, Any]) -> bytes:
    """The entry as JSON; an unpaired surrogate in a string becomes a question mark, as it does in Java."""
    try:
        return orjson.dumps(entry)
    except TypeError:
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace")


def _sample(row: str | None) -> str | None:
    return None if row is None else row[:LARGEST_SAMPLE_BYTES]


BURST = 50_000
PER_SECOND = 1_000
"""Errors that are written at once, and for how many more there is room after a second: each of them as in ksqlDB, but a
stream of nothing but bad records must not turn into a second stream as large. What is left out is counted and reported."""
FLUSH_S = 2.0
QUEUE = 100_000


class ProcessingLog:
    """Writes errors to the topic. Queries call it: it never waits for Kafka, but in `flush`, and never fails."""

    def __init__(self, servers: Servers, topic: str, clock: Callable[[], float] = time.time) -> None:
        self.topic = topic
        self.left_out = 0
        self._clock = clock
        self._room = float(BURST)
        self._seen_s = clock()
        self._lock = threading.Lock()
        self._producer = clients.producer(servers, linger_ms=20, queue_buffering_max_messages=QUEUE)

    def __call__(self, error: ProcessingError) -> None:
        with self._lock:
            now = self._clock()
            self._room = min(float(BURST), self._room + (now - self._seen_s) * PER_SECOND)
            self._seen_s = now
            if self._room < 1:
                self.left_out += 1
                return
            if self.left_out and self._room >= 2:
                missed, self.left_out = self.left_out, 0
                text = f"{missed} further errors were not logged: there were more than {PER_SECOND} per second"
                self._write(ProcessingError(error.logger, "RECORD_PROCESSING", text), now)
            self._write(error, now)

    def _write(self, error: ProcessingError, now: float) -> None:
        entry = record(self.topic, error, int(now * 1000))
        self._room -= 1
        try:
            self._producer.produce(entry.topic, value=entry.value, timestamp=entry.time)
            self._producer.poll(0)
        except (BufferError, KafkaException, RuntimeError):  # no room, no log, or closed already
            self.left_out += 1

    def flush(self) -> None:
        """Wait until all that was logged is on disk, but no longer than FLUSH_S."""
        try:
            left = self._producer.flush(FLUSH_S)
        except RuntimeError:  # closed already
            return
        if left:
            log.warning("%d entries of the processing log are still to be written", left)

    def close(self) -> None:
        self._producer.flush(FLUSH_S)
        clients.close_producer(self._producer)
