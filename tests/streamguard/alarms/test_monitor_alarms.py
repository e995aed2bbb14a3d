"""`streamguard monitor` as a process: Kafka is killed, and a receiver is told so, and told when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.streamguard.alarms.conftest import told
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.processes import Program, eventually
from tests.support.receiver import Receiver


@pytest.mark.soak
def test_a_receiver_is_told_that_kafka_is_down_and_back(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    environment = {
        "STREAMGUARD_STATE_DIR": str(tmp_path),
        "STREAMGUARD_METRICS_PORT": "0",
        "STREAMGUARD_ALARMS_WEBHOOK_URL": receiver.url,
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "DATABASE_URL": desk.settings.database_url,
    }
    monitor = Program("monitor", ["streamguard.cli", "monitor"], environment, tmp_path)
    monitor.start()
    try:
        eventually((tmp_path / "alarms" / "state.json").exists, bool, 120, monitor.said)
        broker.kill()
        down, up = ("KafkaDown", "firing"), ("KafkaDown", "resolved")

        def heard() -> list[tuple[str, str]]:
            return [alarm for message in told(receiver) for alarm in message if alarm[0] == "KafkaDown"]

        assert eventually(heard, bool, 300, monitor.said) == [down]
        broker.start()
        assert eventually(heard, lambda found: len(found) > 1, 300, monitor.said) == [down, up]
        assert monitor.end() == 0
    finally:
        monitor.close()
