"""The engine's runtime for tests: SQL in, rows and records out, over any Kafka."""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streamguard_ksql import ast
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.parser import parse_statement, parse_statements
from streamguard_ksql.runtime.api import RowStream, Submitted
from streamguard_ksql.runtime.clients import KafkaTopics
from streamguard_ksql.runtime.service import KafkaRuntime

SERVICE_ID = "test_"
EARLIEST = {"ksql.streams.auto.offset.reset": "earliest"}


class RunningEngine:
    """A `KafkaRuntime` that can be restarted; queries read from the beginning unless configured otherwise."""

    def __init__(self, servers: str, config: Mapping[str, Any] | None = None) -> None:
        self.servers = servers
        self.config = {**EARLIEST, **(config or {})}
        self.runtime = KafkaRuntime(servers, SERVICE_ID, self.config)

    def restart(self) -> None:
        self.runtime.close()
        self.runtime = KafkaRuntime(self.servers, SERVICE_ID, self.config)

    def close(self) -> None:
        self.runtime.close()

    def sql(self, text: str, **properties: Any) -> list[Submitted]:
        """Carry out statements in order. Property names with underscores for dots."""
        given = {name.replace("_", "."): value for name, value in properties.items()}
        results = []
        for statement in parse_statements(text):
            if isinstance(statement, ast.InsertValues):
                with self.runtime.lock:
                    record = insert_values_record(statement, self.runtime.engine.catalog, self.config, now_ms)
                self.runtime.insert(record)
            else:
                results.append(self.runtime.submit(statement, given, statement.text))
        return results

    def pull(self, text: str) -> list[list[Any]]:
        """The rows of a pull query over a table."""
        return [list(row) for row in self.runtime.pull_query(query_of(text), {}, text).rows]

    def push(self, text: str, **properties: Any) -> RowStream:
        """A push query, or a pull query over a stream."""
        given = {name.replace("_", "."): value for name, value in properties.items()}
        return self.runtime.push_query(query_of(text), given, text)

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until every query has read its topics to their ends, and what they wrote has been read too."""
        deadline = time.monotonic() + seconds
        before = None
        while True:
            stats = {q: self.runtime.stats(q) for q in list(self.runtime.engine.queries)}
            done = all(
                s.offsets and all(p.committed >= p.log_end for ps in s.offsets.values() for p in ps)
                for s in stats.values()
            )
            now = [(s.consumed, s.produced) for s in stats.values()] if done else None
            if now is not None and now == before:
                return
            assert time.monotonic() < deadline, f"not settled after {seconds} s: {stats}"
            before = now
            time.sleep(0.1)


def now_ms() -> int:
    return int(time.time() * 1000)


def query_of(text: str) -> ast.Query:
    statement = parse_statement(text)
    assert isinstance(statement, ast.QueryStatement)
    return statement.query


def rows_of(stream: RowStream, count: int | None = None, seconds: float = 20.0) -> list[list[Any] | None]:
    """So many rows of a running query, or all up to its end."""
    rows: list[list[Any] | None] = []
    deadline = time.monotonic() + seconds
    while count is None or len(rows) < count:
        found = stream.next_rows(0.2)
        if found is None:
            break
        rows.extend(None if r is None else list(r) for r in found)
        assert time.monotonic() < deadline, f"after {seconds} s only {rows}"
    return rows


# --- topics ----------------------------------------------------------------------------------------------------------


def create_topic(servers: str, name: str, partitions: int) -> None:
    KafkaTopics(servers).create(name, partitions, {})


def produce(servers: str, topic: str, records: Sequence[tuple[Any, Any]], times: Sequence[int] | None = None) -> None:
    """Records of (key text, JSON value or raw bytes or None), partitioned as Java does it; returns once they are stored."""
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 5})
    failed: list[str] = []

    def delivered(error: KafkaError | None, message: object) -> None:
        if error is not None:
            failed.append(error.str())

    for n, (key, value) in enumerate(records):
        data = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
        time_ms = 0 if times is None else times[n]
        producer.produce(topic, key=key, value=data, timestamp=time_ms, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert not failed


def consume(servers: str, topic: str, *, committed: bool = True) -> list[tuple[bytes | None, bytes | None]]:
    """All (key, value) of a topic, each partition in order, one partition after the other."""
    client = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"look-{uuid.uuid4()}",
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    found = []
    try:
        count = len(client.list_topics(topic, timeout=10).topics[topic].partitions)
        client.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
        while count:
            message = client.poll(10)
            assert message is not None, f"{topic} does not end"
            error = message.error()
            if error is None:
                found.append((message.partition(), message.offset(), message.key(), message.value()))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                count -= 1
    finally:
        client.close()
    return [(key, value) for _, _, key, value in sorted(found, key=lambda m: m[:2])]


def table_of(servers: str, topic: str) -> dict[Any, Any]:
    """The last value per key of a topic, tombstones removed; windowed keys as (key, window start)."""
    table: dict[Any, Any] = {}
    for key, value in consume(servers, topic):
        if value is None:
            table.pop(key, None)
        else:
            table[key] = orjson.loads(value)
    return table


def windowed(key: bytes) -> tuple[str, int]:
    """A windowed key on the wire: the key, then the window's start in 8 bytes."""
    return key[:-8].decode(), struct.unpack(">q", key[-8:])[0]
