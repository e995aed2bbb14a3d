"""Records that a query leaves out are counted, by reason, and readable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.engine import create_topic, produce
from tests.support.ksqldb import EARLIEST, KsqlServerProcess, eventually, running_server

pytestmark = pytest.mark.integration
T0_MS = int(time.time()) // 3600 * 3_600_000
SOURCES = """
CREATE STREAM s (k VARCHAR KEY, g VARCHAR, n INT, t BIGINT)
  WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');
CREATE STREAM r (k VARCHAR KEY, n INT) WITH (KAFKA_TOPIC='right', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE c (k VARCHAR PRIMARY KEY, n INT) WITH (KAFKA_TOPIC='table', VALUE_FORMAT='JSON', PARTITIONS=1);
"""
COUNT = "CREATE TABLE q AS SELECT k, COUNT(*) AS c FROM s WINDOW"
QUERIES = {
    "window": f"{COUNT} TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 0 SECONDS) GROUP BY k;",
    "session": f"{COUNT} SESSION (1 MINUTE, GRACE PERIOD 0 SECONDS) GROUP BY k;",
    "group": "CREATE TABLE q AS SELECT g, COUNT(*) AS c FROM s GROUP BY g;",
    "plain": "CREATE STREAM q AS SELECT * FROM s;",
    "where": "CREATE STREAM q AS SELECT * FROM s WHERE 10 / n > 1;",
    "table": "CREATE TABLE q AS SELECT * FROM c;",
    "stream-table": "CREATE STREAM q AS SELECT s.k, c.n FROM s JOIN c ON s.k = c.k;",
    "stream-stream": "CREATE STREAM q AS SELECT s.k, r.n FROM s JOIN r WITHIN 1 MINUTE GRACE PERIOD 0 SECONDS ON s.k = r.k;",
}
LATE = [("a", {"N": 1, "T": T0_MS + 600_000}), ("a", {"N": 1, "T": T0_MS})]
CASES: list[tuple[str, list[tuple[Any, Any]], dict[str, int]]] = [
    ("window", LATE, {"late": 1}),
    ("session", LATE, {"late": 1}),
    ("stream-stream", LATE, {"late": 1}),
    ("group", [("a", {"G": None, "T": T0_MS}), ("a", {"G": "x", "T": T0_MS})], {"null-key": 1}),
    ("stream-table", [(None, {"T": T0_MS}), ("a", {"T": T0_MS})], {"null-key": 1}),
    ("stream-stream", [(None, {"T": T0_MS}), ("a", {"T": T0_MS})], {"null-key": 1}),
    ("table", [(None, {"N": 1}), ("a", {"N": 1})], {"null-key": 1}),
    ("plain", [("a", b"{nonsense"), ("a", {"T": T0_MS})], {"deserialization": 1}),
    ("plain", [("a", {"N": 1}), ("a", {"T": T0_MS})], {"timestamp": 1}),
    ("where", [("a", {"N": 0, "T": T0_MS}), ("a", {"N": 2, "T": T0_MS})], {"expression": 1}),
    ("plain", [("a", {"N": 1, "T": T0_MS})], {}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    with running_server(tmp_path_factory.mktemp("skipped")) as server:
        yield server


@pytest.fixture
def sources(server: KsqlServerProcess, tmp_path: Path) -> Iterator[str]:
    """The sources over new topics; all is dropped after the test. The address of the broker."""
    create_topic(server.bootstrap_servers, "table", 1)  # not compacted: a compacted one takes no record without a key
    server.ksql(SOURCES)
    yield server.bootstrap_servers
    kinds = {s["name"]: "TABLE" if s["type"] == "TABLE" else "STREAM" for s in described(server)}
    for name in ("Q", "S", "R", "C"):
        server.ksql(f"DROP {kinds[name]} {name} DELETE TOPIC;")


def described(server: KsqlServerProcess) -> list[dict[str, Any]]:
    return [s for kind in ("STREAMS", "TABLES") for s in server.ksql(f"SHOW {kind};")[0][kind.lower()]]


@pytest.mark.parametrize(("query", "records", "skipped"), CASES)
def test_skipped_records_are_counted(
    server: KsqlServerProcess, sources: str, query: str, records: list[Any], skipped: dict[str, int]
) -> None:
    server.ksql(QUERIES[query], streamsProperties=EARLIEST)
    produce(sources, "table" if query == "table" else "given", records)
    figures = eventually(lambda: finished(server, len(records)), 20)
    assert figures["skipped"] == skipped
    assert figures["state"] == "RUNNING"
    [described] = server.ksql(f"DESCRIBE {'C' if query == 'table' else 'S'} EXTENDED;")
    shown = {s["name"]: s["value"] for s in described["sourceDescription"]["clusterErrorStats"]}
    assert {n: v for n, v in shown.items() if n.startswith("skipped-")} == {
        f"skipped-{k}": v for k, v in skipped.items()
    }
    text = described["sourceDescription"]["errorStats"]
    assert all(f"skipped-{reason}: " in text for reason in skipped)


def finished(server: KsqlServerProcess, count: int) -> dict[str, Any] | None:
    """The figures of the one query once it has read so many records."""
    [query] = requests.get(f"{server.url}/queries", timeout=10).json()["queries"]
    return query if query["consumed"] == count and query["lag"] == 0 else None
