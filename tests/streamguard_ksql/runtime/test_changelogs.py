"""Changelogs on a broker: how they are made, compacted under a running query, and restored in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from streamguard_ksql.runtime.changelog import MARKER
from streamguard_ksql.runtime.clients import KafkaTopics
from streamguard_ksql.runtime.names import changelog_topic
from tests.streamguard_ksql.runtime.conftest import Start
from tests.streamguard_ksql.runtime.test_crashes import ROOT, STATEMENTS, Given, check_states, check_topics, crashing
from tests.support.broker import BrokerProcess
from tests.support.engine import SERVICE_ID, RunningEngine, consume, create_topic, produce
from tests.support.processes import eventually

pytestmark = pytest.mark.integration
QUERIES = ("CTAS_TOTALS_5", "CTAS_WINDOWS_7", "CTAS_REMAINDERS_9")


def test_changelog_has_one_partition_and_is_compacted_with_a_lag(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "given", 3)
    engine.sql(STATEMENTS)
    Given().more(servers)
    engine.settle()
    topics = KafkaTopics(servers)
    name = changelog_topic(SERVICE_ID, QUERIES[0])
    assert topics.partitions(name) == 1
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    config: Any = topics.admin.describe_configs([resource])[resource].result(10)
    assert config["cleanup.policy"].value == "compact"
    assert config["min.compaction.lag.ms"].value == "600000"
    assert changelog_topic(SERVICE_ID, "CSAS_SEVENS_3") not in topics.all()


def test_a_commit_is_a_transaction(engine: RunningEngine, servers: str) -> None:
    """Whoever reads committed records of a changelog ends with a marker: nothing of it is without its positions."""
    create_topic(servers, "given", 3)
    engine.sql(STATEMENTS)
    Given().more(servers)
    engine.settle()
    for query in QUERIES:
        records = list(consume(servers, changelog_topic(SERVICE_ID, query)))
        assert len(records) > 1
        assert records[-1][0] == MARKER


def test_changes_of_a_version_without_transactions_are_named(start: Start, servers: str) -> None:
    """It was killed within a commit: the value may be one that was never committed."""
    create_topic(servers, "given", 3)
    engine = start({})
    engine.sql(STATEMENTS)
    Given().more(servers)
    engine.settle()
    engine.close()
    topic = changelog_topic(SERVICE_ID, QUERIES[0])
    key, value = next(record for record in consume(servers, topic) if record[0] != MARKER)
    plain = Producer({"bootstrap.servers": servers})
    plain.produce(topic, key=key, value=value)
    assert plain.flush(20) == 0
    engine = start({})
    runner = engine.runtime._runners[QUERIES[0]]
    eventually(lambda: runner.failure, lambda failure: failure is not None, 30)
    assert f"The changelog {topic} ends with changes that an earlier version did not commit" in str(runner.failure)
    assert engine.runtime._runners[QUERIES[1]].failure is None


@pytest.mark.soak
def test_changelog_compacted_under_a_running_query(tmp_path: Path) -> None:
    config: dict[str, Any] = {"ksql.streams.commit.interval.ms": 20}
    with BrokerProcess(tmp_path / "log") as broker:
        topics = KafkaTopics(broker.address)
        create_topic(broker.address, "given", 3)
        eager = {"cleanup.policy": "compact", "segment.bytes": "6000", "min.cleanable.dirty.ratio": "0.01"}
        names = [changelog_topic(SERVICE_ID, query) for query in QUERIES]
        for name in names:
            topics.create(name, 1, eager)
        engine = RunningEngine(broker.address, config)
        engine.sql(STATEMENTS)
        engine.close()
        given = Given()
        for _ in range(3):
            process = crashing(broker.address, config)
            until = time.monotonic() + 12
            while time.monotonic() < until:
                given.more(broker.address, 40)
                time.sleep(0.03)
            process.kill()
            process.wait()
        for name in names[::2]:
            _, end = topics.ends(name)
            assert len(consume(broker.address, name)) < end / 2, "not compacted"
        engine = RunningEngine(broker.address, config)
        engine.settle()
        check_states(engine, given)
        engine.close()
        check_topics(broker.address, given)


MANY = """
import os, sys
from tests.support.engine import RunningEngine
engine = RunningEngine(sys.argv[1])
for runner in engine.runtime._runners.values():
    assert runner.ready.wait(120)
stores = [s for r in engine.runtime._runners.values() for s in r.topology.runtime.stores.by_name.values()]
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
print(max(map(len, stores)), int(peak) // 1024, flush=True)
os._exit(0)
"""


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_million_windows_are_restored_in_a_gigabyte(tmp_path: Path) -> None:
    start_ms = int(time.time()) // 60 * 60_000 - 600_000
    with BrokerProcess(tmp_path / "log") as broker:
        create_topic(broker.address, "given", 3)
        engine = RunningEngine(broker.address)
        engine.sql(
            "CREATE STREAM s (k VARCHAR KEY, v BIGINT, id VARCHAR) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');"
            "CREATE TABLE w WITH (KAFKA_TOPIC='w') AS SELECT k, COUNT(*) AS n, SUM(v) AS total, "
            "LATEST_BY_OFFSET(id) AS last FROM s WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 1 DAYS) GROUP BY k;"
        )
        for minute in range(5):
            records = [(f"account{n:06d}", {"V": n, "ID": f"tx{minute}-{n}"}) for n in range(200_000)]
            produce(broker.address, "given", records, [start_ms + 60_000 * minute] * len(records))
        engine.settle(240)
        engine.close()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", MANY, broker.address]
        output = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment, timeout=180
        ).stdout
        count, peak_mb = map(int, output.split())
        assert count == 1_000_000
        assert peak_mb < 1_024


@pytest.mark.soak
def test_twenty_queries_are_ready_within_two_seconds(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "given", 3)
    engine.sql("CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');")
    for n in range(10):
        engine.sql(f"CREATE STREAM filtered{n} WITH (KAFKA_TOPIC='filtered') AS SELECT k, v FROM s WHERE v > {n};")
        engine.sql(
            f"CREATE TABLE counted{n} WITH (KAFKA_TOPIC='counted') AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
        )
    Given().more(servers, 2_000)
    engine.settle()

    def seconds() -> float:
        started = time.monotonic()
        engine.restart()
        for runner in engine.runtime._runners.values():
            assert runner.ready.wait(30)
        return time.monotonic() - started

    # The first of several that is quick enough: a busy machine is not the engine's fault.
    eventually(seconds, lambda taken: taken < 2.0, timeout_s=20.0, say="not ready in 2 s")
