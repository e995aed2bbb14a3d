"""Small runs of the bench and of the comparison with Apache Kafka; with the marker soak a whole one, with limits."""

from __future__ import annotations

import pytest

from benchmarks.broker_and_kafka import main, measure_kafka
from streamguard.bench.broker.measure import measure_ours
from tests.support.kafka import kafka_possible


def test_a_small_run() -> None:
    result = measure_ours(5_000, 1_000, 0.2)
    assert min(result.figures.librdkafka_produce, result.figures.kafka_python_consume) > 1_000
    assert result.start_seconds < 5


@pytest.mark.kafka
@pytest.mark.skipif(not kafka_possible(), reason="java or mvn is not installed")
def test_a_small_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--records", "5000", "--python-records", "1000", "--latency-seconds", "0.2"]) == 0
    assert "Apache Kafka" in capsys.readouterr().out


@pytest.mark.soak
@pytest.mark.kafka
@pytest.mark.skipif(not kafka_possible(), reason="java or mvn is not installed")
def test_beside_kafka() -> None:
    ours, theirs = (run(1_000_000, 100_000, 5.0) for run in (measure_ours, measure_kafka))
    assert ours.figures.librdkafka_produce >= 0.8 * theirs.figures.librdkafka_produce
    assert ours.figures.librdkafka_consume >= 0.8 * theirs.figures.librdkafka_consume
    assert ours.figures.kafka_python_produce >= 0.9 * theirs.figures.kafka_python_produce
    assert ours.figures.kafka_python_consume >= 0.9 * theirs.figures.kafka_python_consume
    assert ours.figures.produce_p99_ms <= 10
    assert ours.start_seconds <= 1.5
    assert ours.memory_mb <= 120
