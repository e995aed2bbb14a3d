"""Metrics as Prometheus reads them."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from streamguard_broker.broker import Broker
from streamguard_broker.exposition import not_ready
from streamguard_broker.options import BrokerOptions
from tests.support import metricpages
from tests.support.broker import BrokerProcess, free_port


def test_what_went_in_and_out_is_counted(tmp_path: Path) -> None:
    port = free_port()
    with BrokerProcess(
        tmp_path / "broker", arguments=("--auto-create-topics", "--metrics", f"127.0.0.1:{port}")
    ) as broker:
        producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
        for _ in range(5):
            producer.send("counted", b"x" * 100).get(10)
        producer.close()
        consumer = KafkaConsumer(
            "counted", bootstrap_servers=broker.address, group_id="g", auto_offset_reset="earliest", max_poll_records=3
        )
        assert consumer.poll(20_000)
        consumer.commit()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        for path in ("healthz", "readyz?verbose"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                assert (answer.status, answer.read()) == (200, b"ok\n")
        with pytest.raises(urllib.error.HTTPError) as missing, urllib.request.urlopen(f"http://127.0.0.1:{port}/x"):
            pass
        missing.value.close()
        consumer.close()
    lines = text.splitlines()
    assert metricpages.check(text) == metricpages.documented("The broker")
    assert 'streamguard_broker_group_committed_offset{group="g",topic="counted",partition="0"} 3' in lines
    assert any(line.startswith("process_start_time_seconds ") for line in lines)
    assert 'streamguard_broker_records_in_total{topic="counted"} 5' in lines
    assert 'streamguard_broker_records_out_total{topic="counted"} 5' in lines
    assert 'streamguard_broker_group_lag_records{group="g",topic="counted",partition="0"} 2' in lines
    assert 'streamguard_broker_group_members{group="g"} 1' in lines
    assert any(line.startswith('streamguard_broker_request_seconds_total{api="Produce"} ') for line in lines)
    assert any(line.startswith("streamguard_broker_sync_seconds_total ") for line in lines)


def test_a_taken_port_gives_way_and_the_file_says_where_the_metrics_are(tmp_path: Path) -> None:
    file = tmp_path / "metrics" / "broker.json"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ("--metrics", f"127.0.0.1:{port}", "--metrics-file", str(file))
        with BrokerProcess(tmp_path / "broker", arguments=arguments) as broker:
            [target] = json.loads(file.read_text())
            [address] = target["targets"]
            assert target["labels"] == {"part": "broker"} and address != f"127.0.0.1:{port}"
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                assert b"streamguard_broker_connections_total" in answer.read()
            assert f"port {port} on 127.0.0.1 cannot be used" in broker.log()
            assert broker.stop() == 0
    assert not file.exists()


def test_a_file_that_cannot_be_written_stops_no_broker(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    file = tmp_path / "occupied" / "broker.json"
    arguments = ("--metrics", "127.0.0.1:0", "--metrics-file", str(file))
    with BrokerProcess(tmp_path / "broker", arguments=arguments) as broker:
        assert f"{file} cannot be written" in broker.log()


def test_a_broker_that_cannot_store_is_not_ready(tmp_path: Path) -> None:
    async def scenario() -> tuple[str | None, str | None]:
        broker = Broker(BrokerOptions(tmp_path))
        log = broker.catalog.create("t", 2).partitions[1]
        before = not_ready(broker)
        work = log.begin_flush(checkpoint=True)
        assert work is not None
        work.error = OSError(5, "Input/output error")
        log.end_flush(work)
        after = not_ready(broker)
        await broker.close()
        return before, after

    before, after = asyncio.run(scenario())
    assert before is None
    assert str(after).startswith("1 partitions are read-only, the first is t-1: ")
