"""`streamguard broker` has the options of `python -m streamguard_broker`."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem
from tests.support.broker import BrokerProcess, free_port

PROGRAM = ("streamguard.cli", "broker")


def test_both_have_the_same_options() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-m", *program, "--help"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        for program in (PROGRAM, ("streamguard_broker",))
    ]
    options = [set(re.findall(r"--[a-z-]+", text)) for text in outputs]
    assert options[0] == options[1]
    assert len(options[0]) == 22
    assert outputs[0].startswith("usage: streamguard broker ")


def test_every_option_is_passed_on(tmp_path: Path, certificate: Path) -> None:
    Users(tmp_path / USERS_FILE, FileSystem()).set_password("ana", "s3cret")
    metrics = f"127.0.0.1:{free_port()}"
    arguments = (
        "--auto-create-topics", "--default-partitions", "5", "--topic-default", "retention.ms=12345",
        "--sasl", "--tls-certificate", str(certificate), "--tls-key", str(certificate.with_name("key.pem")),
        "--metrics", metrics,
    )  # fmt: skip
    with BrokerProcess(tmp_path, arguments=arguments, program=PROGRAM) as broker:
        admin = AdminClient(
            {
                "bootstrap.servers": broker.address, "security.protocol": "SASL_SSL",
                "ssl.ca.location": str(certificate), "sasl.mechanism": "PLAIN", "sasl.username": "ana",
                "sasl.password": "s3cret", "allow.auto.create.topics": True,
            }
        )  # fmt: skip
        admin.list_topics("named", timeout=10)
        assert len(admin.list_topics("named", timeout=10).topics["named"].partitions) == 5
        admin.create_topics([NewTopic("made", -1, -1)])["made"].result(10)
        assert len(admin.list_topics("made", timeout=10).topics["made"].partitions) == 5
        resource = ConfigResource(ConfigResource.Type.TOPIC, "made")
        assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "12345"
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
            assert b"streamguard_broker_" in answer.read()
        unauthenticated = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        with pytest.raises(confluent_kafka.KafkaException):
            unauthenticated.list_topics(timeout=0.5)


def test_an_error_is_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *PROGRAM, "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0", "--sasl"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("streamguard broker: ") and "there is no user" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
