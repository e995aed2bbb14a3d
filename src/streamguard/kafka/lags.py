"""How far readers are behind the end of their partitions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from kafka.protocol.consumer import IsolationLevel

from streamguard.kafka import clients
from streamguard.kafka.clients import Servers

_POLL_MS = 200


@dataclass(frozen=True)
class Lag:
    """How far a reader is behind in one partition; `committed` is the next offset to read, None where there is none."""

    partition: TopicPartition
    committed: int | None
    end: int

    @property
    def records(self) -> int | None:
        """Offsets between the two; some may hold no record (markers of transactions)."""
        return None if self.committed is None else max(0, self.end - self.committed)


def group_lag(client: KafkaAdminClient, group: str) -> list[Lag]:
    """The lag of `group` in every partition it has committed for. Raises KafkaError."""
    committed = client.list_group_offsets({group: None})[group]
    return lags(client, {p: found.offset if found.offset >= 0 else None for p, found in committed.items()})


def lags(client: KafkaAdminClient, positions: Mapping[TopicPartition, int | None]) -> list[Lag]:
    """The lag of a reader of committed records that is at `positions`. Raises KafkaError."""
    if not positions:
        return []
    latest = dict.fromkeys(positions, OffsetSpec.LATEST)
    ends = client.list_partition_offsets(latest, isolation_level=IsolationLevel.READ_COMMITTED)
    return [Lag(partition, positions[partition], ends[partition].offset) for partition in sorted(positions)]


def ends_of(client: KafkaAdminClient, topic: str) -> dict[int, int]:
    """The offset behind the last record of each partition, also of one that is not committed yet. Raises KafkaError."""
    [described] = client.describe_topics([topic])
    partitions = [TopicPartition(topic, found["partition_index"]) for found in described["partitions"]]
    ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return {partition.partition: ends[partition].offset for partition in partitions}


def has_record(servers: Servers, lag: Lag, timeout_s: float) -> bool:
    """Whether a record lies between `committed` and `end`, and not only markers of transactions.

    Also true where nothing could be read within `timeout_s`: what no reader gets past is no marker. Raises KafkaError where no
    broker answers.
    """
    start = lag.committed or 0
    consumer = clients.consumer(
        servers,
        enable_auto_commit=False,
        isolation_level="read_committed",
        bootstrap_timeout_ms=round(timeout_s * 1000),
    )
    try:
        consumer.assign([lag.partition])
        consumer.seek(lag.partition, start)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if consumer.poll(timeout_ms=_POLL_MS, max_records=1):
                return True
            if consumer.position(lag.partition) >= lag.end:
                return False
    except KafkaError:
        return True
    finally:
        consumer.close(autocommit=False)
    return True
