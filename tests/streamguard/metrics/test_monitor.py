"""`streamguard monitor` as a process, beside a real broker and Postgres."""

from __future__ import annotations

import json
from pathlib import Path

import requests
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from tests.support import metricpages
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.engine import create_topic
from tests.support.processes import Program, eventually
from tests.support.tls import Authority

Samples = dict[tuple[str, tuple[str, ...]], float]
"""By name, and the values of the labels in the order of their names."""


def scraped(address: str) -> Samples:
    text = requests.get(f"http://{address}/metrics", timeout=30).text
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_lag_and_sizes_by_the_names_that_dashboards_know(desk: Desk, broker: BrokerProcess, tmp_path: Path) -> None:
    create_topic(broker.address, "transactions", 1)
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for _ in range(10):
        producer.send("transactions", b"x" * 100, partition=0).get(30)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id="readers", enable_auto_commit=False)
    consumer.commit({TopicPartition("transactions", 0): OffsetAndMetadata(4, "", -1)})
    consumer.close(autocommit=False)
    environment = {
        "STREAMGUARD_STATE_DIR": str(tmp_path),
        "STREAMGUARD_METRICS_PORT": "0",
        "STREAMGUARD_DESK_CERTIFICATE": str(Authority(tmp_path / "authority").issue().file),
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "DATABASE_URL": desk.settings.database_url,
    }
    monitor = Program("monitor", ["streamguard.cli", "monitor"], environment, tmp_path)
    targets = tmp_path / "metrics" / "monitor.json"
    monitor.start()
    try:
        eventually(targets.exists, bool, say=monitor.said)
        address = json.loads(targets.read_text())[0]["targets"][0]
        found = scraped(address)
        assert found["streamguard_kafka_up", ()] == found["streamguard_database_up", ()] == 1
        assert found["kafka_topic_partition_current_offset", ("0", "transactions")] == 10
        assert found["kafka_consumergroup_lag", ("readers", "0", "transactions")] == 6
        assert found["kafka_consumergroup_lag_sum", ("readers", "transactions")] == 6
        assert found["streamguard_table_size_bytes", ("transactions",)] > 0
        assert found["streamguard_database_size_bytes", ()] > 1_000_000
        assert found["streamguard_outbox_records", ()] == 0
        assert 86_400 < found["streamguard_certificate_expiry_seconds", ("desk_certificate",)] <= 2 * 86_400
        shown = metricpages.check(requests.get(f"http://{address}/metrics", timeout=30).text)
        missing = metricpages.documented("The monitor") - shown
        # Of data quality there is something once there are transactions (tests/streamguard/quality).
        assert shown <= metricpages.documented("The monitor")
        assert all(name.startswith("streamguard_quality_") for name in missing), missing
        # It evaluates the alarms too: nothing fires.
        state = tmp_path / "alarms" / "state.json"
        eventually(state.exists, bool, say=monitor.said)
        assert [alarm for alarm in json.loads(state.read_text())["alarms"] if alarm["firing_s"]] == []
        broker.kill()
        assert eventually(lambda: scraped(address)["streamguard_kafka_up", ()], lambda up: up == 0) == 0
        broker.start()
        assert eventually(lambda: scraped(address)["streamguard_kafka_up", ()], lambda up: up == 1) == 1
        assert monitor.end() == 0
        assert not targets.exists()
    finally:
        monitor.close()
