"""Debian's kcat (an older librdkafka) against our broker."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.broker import BrokerProcess

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


def kcat(broker: BrokerProcess, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["kcat", "-b", broker.address, *arguments], input=text, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
def test_produce_list_and_consume(shared_broker: BrokerProcess, topic: str, codec: str) -> None:
    lines = [f"k{i}:value {i}" for i in range(100)]
    kcat(shared_broker, "-P", "-t", topic, "-K", ":", "-z", codec, "-H", "a=b", text="\n".join(lines) + "\n")
    assert f'topic "{topic}" with 1 partitions' in kcat(shared_broker, "-L", "-t", topic)
    got = kcat(shared_broker, "-C", "-t", topic, "-e", "-q", "-f", "%k:%s|%h|%o\n").splitlines()
    assert got == [f"{line}|a=b|{i}" for i, line in enumerate(lines)]
    assert kcat(shared_broker, "-Q", "-t", f"{topic}:0:-1").strip() == f"{topic} [0] offset 100"


def test_a_group(shared_broker: BrokerProcess, topic: str) -> None:
    kcat(shared_broker, "-P", "-t", topic, text="one\ntwo\n")
    read = kcat(shared_broker, "-G", topic, "-c", "2", "-q", "-X", "auto.offset.reset=earliest", topic)
    assert read.splitlines() == ["one", "two"]
