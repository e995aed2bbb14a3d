"""The log goes away under running queries and comes back: they go on by themselves, with the same results."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from streamguard_ksql.runtime.clients import KafkaTopics
from tests.streamguard_ksql.runtime.test_crashes import (
    STATEMENTS,
    Given,
    check_exactly_once,
    check_states,
    check_topics,
)
from tests.support.broker import BrokerProcess
from tests.support.engine import EARLIEST, RunningEngine, create_topic, produce
from tests.support.processes import eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_broker_is_killed_under_running_queries(tmp_path: Path, guarantee: str) -> None:
    config = {"ksql.streams.processing.guarantee": guarantee, "ksql.streams.commit.interval.ms": 50}
    with BrokerProcess(tmp_path / "log") as broker:
        create_topic(broker.address, "given", 3)
        engine = RunningEngine(broker.address, config)
        engine.sql(STATEMENTS)
        given = Given()
        for _ in range(3):
            given.more(broker.address, 200)
            time.sleep(0.15)
            broker.kill()
            time.sleep(0.5)
            broker.start()
        given.more(broker.address, 200)
        engine.settle(60)
        check_states(engine, given)
        engine.close()
        check_topics(broker.address, given)
        if guarantee == "exactly_once_v2":
            check_exactly_once(broker.address, given)


@pytest.mark.soak
def test_engine_stops_though_the_broker_is_gone(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "log") as broker:
        create_topic(broker.address, "given", 3)
        engine = RunningEngine(broker.address)
        engine.sql(STATEMENTS)
        Given().more(broker.address)
        engine.settle()
        broker.kill()
        started = time.monotonic()
        engine.close()
        assert time.monotonic() - started < 60, "a limit against waiting for ever; a few seconds on an idle machine"


def test_topic_that_comes_later_and_goes_and_grows(tmp_path: Path) -> None:
    """A query waits for its topic, reads it from the start when it was made again, and finds its new partitions."""
    with BrokerProcess(tmp_path / "log") as broker:
        topics = KafkaTopics(broker.address)
        create_topic(broker.address, "given", 1)
        engine = RunningEngine(broker.address, EARLIEST)
        engine.sql("CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');")
        engine.sql("CREATE STREAM copy WITH (KAFKA_TOPIC='copy') AS SELECT * FROM s;")
        produce(broker.address, "given", [(f"k{n}", {"V": n}) for n in range(5)])
        engine.settle()
        query = "CSAS_COPY_3"
        # A restart without the topic: the source and its query are still there, and wait.
        engine.runtime.close()
        topics.delete("given")
        engine.restart()
        assert list(engine.runtime.engine.queries) == [query]
        eventually(lambda: engine.runtime.stats(query).state, lambda state: state == "ERROR")
        create_topic(broker.address, "given", 2)
        produce(broker.address, "given", [(f"k{n}", {"V": n}) for n in range(7)])
        eventually(lambda: engine.runtime.stats(query).consumed, lambda consumed: consumed == 7)
        # More partitions: looked for every now and then.
        topics.admin.create_partitions([NewPartitions("given", 4)])["given"].result(10)
        produce(broker.address, "given", [(f"k{n}", {"V": n}) for n in range(20, 60)])
        eventually(lambda: len(topics.all()["given"].partitions), lambda count: count == 4)
        engine.runtime._watcher.look()
        eventually(lambda: engine.runtime.stats(query).consumed, lambda consumed: consumed == 47)
        engine.close()
