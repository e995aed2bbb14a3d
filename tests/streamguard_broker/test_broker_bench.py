"""Small runs of the bench and of the comparison with Apache Kafka."""

from __future__ import annotations

import pytest

from benchmarks.broker_and_kafka import main
from streamguard.bench.broker.measure import measure_ours
from tests.support.kafka import kafka_possible


def test_a_small_run() -> None:
    result = measure_ours(5_000, 1_000, 0.2)
    assert min(result.figures.librdkafka_produce, result.figures.kafka_python_consume) > 0
    assert result.start_seconds > 0


@pytest.mark.kafka
@pytest.mark.skipif(not kafka_possible(), reason="java or mvn is not installed")
def test_a_small_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--records", "5000", "--python-records", "1000", "--latency-seconds", "0.2"]) == 0
    assert "Apache Kafka" in capsys.readouterr().out
