"""The ceiling: a bare kafka-python consumer that decodes the JSON of every transaction and does nothing with it.

Run as a process: `python -m streamguard.bench.engine.ceiling SERVERS TOPIC PARTITIONS RECORDS`; prints its seconds.
"""

from __future__ import annotations

import sys
import time

import orjson
from kafka import KafkaConsumer, TopicPartition


def consume(servers: str, topic: str, partitions: int, records: int) -> float:
    """Seconds from the first poll to the last record."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        max_poll_records=5_000,
        fetch_max_bytes=32 * 1024 * 1024,
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    assigned = [TopicPartition(topic, p) for p in range(partitions)]
    consumer.assign(assigned)
    consumer.seek_to_beginning(*assigned)
    seen = 0
    started = time.perf_counter()
    while seen < records:
        for batch in consumer.poll(timeout_ms=1_000).values():
            for record in batch:
                orjson.loads(record.value)
            seen += len(batch)
    elapsed = time.perf_counter() - started
    consumer.close()
    return elapsed


if __name__ == "__main__":
    print(consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
