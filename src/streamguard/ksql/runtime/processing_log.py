"""The processing log: what could not be read, evaluated or written, as records of a topic and rows of a stream.

Source: docs/reference/processing-log.md of the ksqlDB manual; message types: 0 deserialization, 1 record processing,
2 production, 3 serialization, 4 a query's thread.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from streamguard.ksql.catalog import STREAM, DataSource, TopicFormat
from streamguard.ksql.operators.base import ProcessingError
from streamguard.ksql.operators.record import OutputRecord
from streamguard.ksql.parser import parse_schema
from streamguard.ksql.schema import Column, Schema

NAME = "KSQL_PROCESSING_LOG"
LARGEST_SAMPLE_BYTES = 64 * 1024
"""Of a record that could not be read no more than this is kept: the log is for looking, not for storage."""

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
    return OutputRecord(topic, None, orjson.dumps(entry), time_ms)


def _sample(row: str | None) -> str | None:
    return None if row is None else row[:LARGEST_SAMPLE_BYTES]
