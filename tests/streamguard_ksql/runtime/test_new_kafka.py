"""The first deployment to an Apache Kafka that was just started: its groups have no coordinator yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine import produce
from tests.support.kafka import KafkaProcess, kafka_possible
from tests.support.ksqldb import EARLIEST, KsqlServerProcess, eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kafka,
    pytest.mark.skipif(not kafka_possible(), reason="Apache Kafka needs java and mvn on the PATH"),
]
COORDINATORS = "offsets.topic.num.partitions=50"
"""Kafka's default: they take longest to be there, so the first requests find none."""


def test_the_first_deployment_runs(tmp_path: Path) -> None:
    with KafkaProcess(tmp_path / "kafka", (COORDINATORS,)) as kafka:
        server = KsqlServerProcess(tmp_path / "engine", kafka.address).start()
        try:
            server.ksql(
                "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=3);"
            )
            for name in ("one", "two"):
                server.ksql(f"CREATE STREAM {name} AS SELECT * FROM s;", streamsProperties=EARLIEST)
            produce(kafka.address, "s", [("k", {"V": 1})])
            for name in ("one", "two"):
                eventually(lambda name=name: server.rows(f"SELECT * FROM {name};"), 30)
        finally:
            assert server.process is not None
            status = server.process.poll()
            server.kill()
    assert status is None, f"the server ended with {status}"
