"""PRINT: the records of a topic as they are, with a guess at their formats.

Source: docs/developer-guide/ksqldb-reference/print.md.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections.abc import Iterator

from streamguard_ksql import ast
from streamguard_ksql.errors import BadRequest
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaTopics, Servers
from streamguard_ksql.runtime.corrupt import LostBatch
from streamguard_ksql.runtime.reader import Reader
from streamguard_ksql.visible import one_line


def print_topic(
    statement: ast.PrintTopic, servers: Servers, topics: KafkaTopics, *, from_beginning: bool
) -> Iterator[str]:
    """The lines of PRINT; endless without LIMIT. An empty line comes when nothing else does, for the caller to look up."""
    known = topics.all()
    found = statement.topic if statement.topic in known else None
    if found is None:
        near = [t for t in known if t.upper() == statement.topic.upper()]
        hint = f"\nDid you mean: {', '.join(near)}?" if near else ""
        raise BadRequest(
            f"Could not find topic '{statement.topic}', or the KSQL user does not have permissions to list the topic."
            f" Topic names are case-sensitive.{hint}"
        )
    return _lines(statement, servers, topics, len(known[found].partitions), from_beginning)


def _lines(
    statement: ast.PrintTopic, servers: Servers, topics: KafkaTopics, partitions: int, from_beginning: bool
) -> Iterator[str]:
    lost: list[LostBatch] = []
    reader = Reader(
        lambda: clients.consumer(servers, f"ksql-print-{statement.topic}", read_committed=False),
        topics,
        {statement.topic: range(partitions)},
        {},
        from_beginning={statement.topic} if from_beginning else (),
        lost=lost.append,
    )
    try:
        given, seen, announced = 0, 0, False
        while statement.limit is None or given < statement.limit:
            records = [r for _, batch in reader.poll(0.2) for r in batch]
            yield from map(str, lost)
            lost.clear()
            if not records:
                yield ""
            for record in records:
                seen += 1
                if statement.interval and (seen - 1) % statement.interval:
                    continue
                if not announced:
                    yield f"Key format: {_key_format(record.key)}"
                    yield f"Value format: {_value_format(record.value)}"
                    announced = True
                yield line(record)
                given += 1
                if statement.limit is not None and given >= statement.limit:
                    return
    finally:
        reader.close()


def line(record: InputRecord) -> str:
    """One record, as PRINT shows it."""
    moment = dt.datetime.fromtimestamp(record.time / 1000, dt.timezone.utc)
    stamp = f"{moment:%Y/%m/%d %H:%M:%S}.{record.time % 1000:03d} Z"
    return f"rowtime: {stamp}, key: {_text(record.key)}, value: {_text(record.value)}, partition: {record.partition}"


def _text(data: bytes | None) -> str:
    if data is None:
        return "<null>"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _binary(data)
    if text.isprintable():
        return text
    # A record is one line: what its text has in it cannot look like another record.
    return one_line(text) if "\n" in text or "\t" in text else _binary(data)


def _binary(data: bytes) -> str:
    """A number where the length says so, a windowed key as `[key@start/-]`, else the bytes."""
    if len(data) == 4:
        return str(struct.unpack(">i", data)[0])
    if len(data) == 8:
        return str(struct.unpack(">q", data)[0])
    if len(data) > 8:
        try:
            return f"[{data[:-8].decode()}@{struct.unpack('>q', data[-8:])[0]}/-]"
        except UnicodeDecodeError:
            pass
    return repr(data)


def _key_format(data: bytes | None) -> str:
    if data is None:
        return "¯\\_(ツ)_/¯ - no data processed"
    if len(data) == 4 and not _is_text(data):
        return "KAFKA_INT"
    if len(data) == 8 and not _is_text(data):
        return "KAFKA_BIGINT or KAFKA_DOUBLE"
    return (
        "KAFKA_STRING" if _is_text(data) else "SESSION(KAFKA_STRING) or HOPPING(KAFKA_STRING) or TUMBLING(KAFKA_STRING)"
    )


def _value_format(data: bytes | None) -> str:
    if data is None:
        return "¯\\_(ツ)_/¯ - no data processed"
    try:
        json.loads(data)
    except ValueError:
        return "KAFKA_STRING" if _is_text(data) else "KAFKA_BIGINT or KAFKA_DOUBLE" if len(data) == 8 else "BYTES"
    return "JSON or KAFKA_STRING"


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False
