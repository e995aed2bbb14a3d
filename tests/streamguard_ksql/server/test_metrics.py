"""`--metrics`: what each query has done, as Prometheus reads it."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support import metricpages
from tests.support.broker import BrokerProcess, free_port
from tests.support.ksqldb import EARLIEST, KsqlServerProcess
from tests.support.processes import eventually

Samples = dict[tuple[str, tuple[str, ...]], float]


def scraped(port: int) -> Samples:
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def probed(port: int, path: str) -> tuple[int, str]:
    answer = requests.get(f"http://127.0.0.1:{port}/{path}", timeout=60)
    return answer.status_code, answer.text


def test_records_in_out_and_left_out_of_a_query(tmp_path: Path) -> None:
    port = free_port()
    with BrokerProcess(tmp_path / "log") as broker:
        server = KsqlServerProcess(tmp_path, broker.address, ("--metrics", f"127.0.0.1:{port}"))
        server.start()
        try:
            create = "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
            query = "CREATE STREAM large AS SELECT k, v FROM s WHERE v > 1;"
            server.ksql(f"{create} {query}", streamsProperties=EARLIEST)
            for value in (1, 2, 3):
                server.ksql(f"INSERT INTO s (k, v) VALUES ('a', {value});")
            [name] = {labels[0] for metric, labels in scraped(port) if metric == "streamguard_query_records_in_total"}

            def read() -> float:
                return scraped(port)["streamguard_query_records_in_total", (name,)]

            eventually(read, lambda count: count == 3)
            found = scraped(port)
            assert found["streamguard_query_state", (name, "RUNNING")] == 1
            assert found["streamguard_query_state", (name, "ERROR")] == 0
            assert found["streamguard_query_records_out_total", (name,)] == 2
            assert found["streamguard_query_last_event_timestamp_seconds", (name,)] > 1_600_000_000
            behind = "streamguard_query_lag_records", ("0", name, "s")
            assert eventually(lambda: scraped(port)[behind], lambda lag: lag == 0) == 0
            assert found["streamguard_query_state_entries", (name,)] == 0
            assert found["streamguard_query_event_lag_seconds", (name,)] > 0
            age = "streamguard_query_commit_age_seconds", (name,)
            assert eventually(lambda: scraped(port)[age], lambda seconds: seconds == 0) == 0
            shown = metricpages.check(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text)
            assert shown == metricpages.documented("The SQL engine")
            assert probed(port, "healthz") == probed(port, "readyz") == (200, "ok\n")
            broker.kill()
            assert (
                eventually(lambda: probed(port, "readyz"), lambda said: said[0] == 503)[1] == "Kafka does not answer\n"
            )
            assert probed(port, "healthz") == (200, "ok\n")
            broker.start()
            eventually(lambda: probed(port, "readyz"), lambda said: said == (200, "ok\n"))
            requests.post(f"{server.url}/ksql/terminate", json={}, timeout=30)
            assert probed(port, "readyz") == (503, "it was terminated (/ksql/terminate): start it again\n")
        finally:
            server.stop()


def test_state_is_measured_and_a_taken_port_gives_way(tmp_path: Path) -> None:
    file = tmp_path / "metrics" / "ksqldb.json"
    with socket.create_server(("127.0.0.1", 0)) as taken, BrokerProcess(tmp_path / "log") as broker:
        port = taken.getsockname()[1]
        arguments = ("--metrics", f"127.0.0.1:{port}", "--metrics-file", str(file))
        server = KsqlServerProcess(tmp_path, broker.address, arguments)
        server.start()
        try:
            [target] = json.loads(file.read_text())
            other = int(target["targets"][0].rpartition(":")[2])
            assert target["labels"] == {"part": "ksqldb"} and other != port
            create = "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
            query = "CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
            server.ksql(f"{create} {query}", streamsProperties=EARLIEST)
            for key in ("a", "b", "a"):
                server.ksql(f"INSERT INTO s (k, v) VALUES ('{key}', 1);")

            def entries() -> list[float]:
                return [n for (name, _), n in scraped(other).items() if name == "streamguard_query_state_entries"]

            assert eventually(entries, lambda found: found == [2]) == [2]
            assert max(n for (name, _), n in scraped(other).items() if name == "streamguard_query_state_bytes") > 100
        finally:
            server.stop()
    assert not file.exists()


@pytest.mark.parametrize(
    ("address", "said"), [("0.0.0.0:9109", "on loopback only, not on 0.0.0.0"), ("x", "HOST:PORT")]
)
def test_an_address_that_cannot_be_is_one_sentence(tmp_path: Path, address: str, said: str) -> None:
    with BrokerProcess(tmp_path / "log") as broker:
        server = KsqlServerProcess(tmp_path, broker.address, ("--metrics", address))
        done = subprocess.run(server.command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
