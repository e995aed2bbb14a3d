"""Each test of the runtime runs on our broker, and on Apache Kafka (some with --soak only), with a log as good as new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamguard_ksql.runtime.clients import KafkaTopics
from tests.support.broker import BrokerProcess
from tests.support.engine import RunningEngine
from tests.support.kafka import KafkaProcess, kafka_possible

Start = Callable[..., RunningEngine]


ALSO_ON_KAFKA = {"test_rules"}
"""What runs on Apache Kafka in every run: the rules. The rest does with --soak; all of it runs on our broker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on Apache Kafka with --soak only."""
    for item in items:
        is_mine = item.path.parent == Path(__file__).parent and item.path.stem not in ALSO_ON_KAFKA
        if is_mine and item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session", params=["ours", pytest.param("kafka", marks=pytest.mark.kafka)])
def kafka_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker for all tests: ours, then Apache Kafka."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "ours":
        with BrokerProcess(folder / "log") as broker:
            yield broker.address
        return
    if not kafka_possible():
        pytest.skip("Apache Kafka needs java and mvn on the PATH")
    with KafkaProcess(folder) as kafka:
        yield kafka.address


@pytest.fixture
def servers(kafka_address: str) -> Iterator[str]:
    """The broker's address; the topics that a test made are removed after it."""
    yield kafka_address
    topics = KafkaTopics(kafka_address)
    mine = [name for name in topics.all() if not name.startswith("__")]
    for name in mine:
        topics.delete(name)
    deadline = time.monotonic() + 10
    while set(mine) & set(topics.all()):
        assert time.monotonic() < deadline, "topics are not deleted"
        time.sleep(0.02)


@pytest.fixture
def start(servers: str) -> Iterator[Start]:
    """Starts engines, and closes them after the test."""
    running: list[RunningEngine] = []

    def start(config: Mapping[str, Any] | None = None) -> RunningEngine:
        running.append(RunningEngine(servers, config))
        return running[-1]

    yield start
    for engine in running:
        engine.close()


@pytest.fixture
def engine(start: Start) -> RunningEngine:
    return start()
