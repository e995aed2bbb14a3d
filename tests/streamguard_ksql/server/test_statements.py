"""`/ksql`: scripts of several statements, sessions, SHOW and ASSERT, and requests that are wrong in every way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.ksqldb import KsqlServerProcess, eventually, running_server


def test_a_script_with_a_wrong_statement_changes_nothing(ksqldb: KsqlServerProcess) -> None:
    script = (
        "CREATE STREAM half (a INT) WITH (KAFKA_TOPIC='half', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
        "CREATE STREAM done AS SELECT * FROM half;\n"
        "  CREATE STREAM wrong AS SELECT b FROM half;"
    )
    error = ksqldb.refused(script)
    assert (error["error_code"], error["entities"]) == (40001, [])
    assert "Line: 3, Col: 33: SELECT column 'B' cannot be resolved." in error["message"]
    assert not {"HALF", "DONE"} & {s["name"] for s in ksqldb.ksql("SHOW STREAMS;")[0]["streams"]}


def test_statements_of_a_script_build_on_each_other(ksqldb: KsqlServerProcess) -> None:
    answers = ksqldb.ksql(
        "CREATE TYPE money AS STRUCT<amount DECIMAL(9, 2), currency STRING>;"
        "CREATE STREAM paid (id STRING KEY, m money) WITH (KAFKA_TOPIC='paid', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "CREATE STREAM paid_eur AS SELECT id, m->amount AS amount FROM paid WHERE m->currency = 'EUR';"
        "DESCRIBE paid; LIST TYPES; DROP STREAM paid_eur DELETE TOPIC; DROP STREAM paid; DROP TYPE money;"
    )
    kinds = ["currentStatus"] * 3 + ["sourceDescription", "type_list"] + ["currentStatus"] * 3
    assert [a["@type"] for a in answers] == kinds
    member = answers[3]["sourceDescription"]["fields"][1]["schema"]["fields"][0]
    assert (member["name"], member["schema"]["type"]) == ("AMOUNT", "DECIMAL")
    assert member["schema"]["parameters"] == {"precision": 9, "scale": 2}
    assert [a["commandId"] for a in answers[-3:]] == ["stream/PAID_EUR/drop", "stream/PAID/drop", "type/MONEY/drop"]


def test_variables_and_properties_hold_within_a_request(ksqldb: KsqlServerProcess, stream: str) -> None:
    shown = ksqldb.ksql("DEFINE a='1'; SHOW VARIABLES; UNDEFINE a; SHOW VARIABLES;", sessionVariables={"b": "2"})
    assert shown[0]["variables"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert shown[1]["variables"] == [{"name": "b", "value": "2"}]
    ksqldb.ksql(f"INSERT INTO {stream} VALUES ('${{who}}', 1);", sessionVariables={"who": "it''s me"})
    assert ksqldb.rows(f"SELECT id FROM {stream};") == [["it's me"]]
    listed = ksqldb.ksql("SET 'auto.offset.reset'='earliest'; SHOW PROPERTIES;")[0]
    assert listed["overwrittenProperties"] == ["auto.offset.reset"]
    assert {"name": "auto.offset.reset", "scope": "KSQL", "value": "earliest", "editable": True, "level": "QUERY"} in (
        listed["properties"]
    )


def test_commands_can_be_asked_for_and_waited_for(ksqldb: KsqlServerProcess, stream: str) -> None:
    answer = ksqldb.ksql(f"CREATE STREAM {stream}_x AS SELECT * FROM {stream};")[0]
    status = requests.get(f"{ksqldb.url}/status/{answer['commandId']}", timeout=5).json()
    assert status == answer["commandStatus"]
    everything = requests.get(f"{ksqldb.url}/status", timeout=5).json()["commandStatuses"]
    assert everything[answer["commandId"]] == "SUCCESS"
    assert ksqldb.ksql("SHOW TOPICS;", commandSequenceNumber=answer["commandSequenceNumber"])
    late = ksqldb.post("/ksql", {"ksql": "SHOW TOPICS;", "commandSequenceNumber": 10**9})
    assert (late.status_code, late.json()["error_code"]) == (503, 50301)


ASSERTIONS: list[tuple[str, str | None]] = [
    ("ASSERT TOPIC {topic};", None),
    ("ASSERT TOPIC {topic} WITH (PARTITIONS=1, REPLICAS=1);", None),
    ("ASSERT TOPIC {topic} WITH (PARTITIONS=2) TIMEOUT 0 SECONDS;", "expected 2 got 1"),
    ("ASSERT NOT EXISTS TOPIC nothing;", None),
    ("ASSERT NOT EXISTS TOPIC {topic} TIMEOUT 0 SECONDS;", "exists"),
    ("ASSERT TOPIC nothing TIMEOUT 0 SECONDS;", "Topic nothing does not exist"),
    ("ASSERT STREAM {name} (ID STRING KEY, AMOUNT DOUBLE) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');", None),
    ("ASSERT STREAM {name} (ID STRING KEY, AMOUNT INT) WITH (KAFKA_TOPIC='{topic}');", "`AMOUNT` DOUBLE"),
    ("ASSERT TABLE {name} (ID STRING PRIMARY KEY, AMOUNT DOUBLE) WITH (KAFKA_TOPIC='{topic}');", "it is a STREAM"),
]


@pytest.mark.parametrize(("sql", "message"), ASSERTIONS, ids=[a[0] for a in ASSERTIONS])
def test_assertions(ksqldb: KsqlServerProcess, stream: str, sql: str, message: str | None) -> None:
    response = ksqldb.post("/ksql", {"ksql": sql.format(name=stream, topic=stream.lower())})
    assert response.status_code == (200 if message is None else 417), response.text
    assert message is None or message in response.json()["message"]


WRONG: list[tuple[str, int, int, str]] = [
    ("", 400, 40000, "must have the SQL text"),
    ("[1]", 400, 40000, "must be a JSON object"),
    ('{"ksql":', 400, 40000, "not valid JSON"),
    ('{"ksql": 1}', 400, 40000, "must have the SQL text"),
    ('{"ksql": "SHOW TOPICS;", "streamsProperties": [1]}', 400, 40000, "must be a JSON object"),
    ('{"ksql": "SHOW TOPICS;", "commandSequenceNumber": "x"}', 400, 40000, "must be an integer"),
    ('{"ksql": "SHOW TOPICS;", "somethingNew": true}', 200, 0, ""),
    ('{"ksql": "SHOW TOPICS;", "streamsProperties": {"no.such": "1"}}', 400, 40001, "Not recognizable"),
    (
        '{"ksql": "SHOW TOPICS;", "streamsProperties": {"ksql.service.id": "x"}}',
        400,
        40000,
        "denylist",
    ),
    ('{"ksql": "SHOW TOPICS"}', 400, 40001, "missing ';' at '<EOF>'"),
    ('{"ksql": "SHOW CONNECTORS;"}', 500, 50000, "no Kafka Connect"),
    ('{"ksql": "DESCRIBE FUNCTION nothing;"}', 400, 40000, "Can't find any functions with the name"),
    ('{"ksql": "EXPLAIN nothing;"}', 400, 40001, "Query with id:NOTHING does not exist"),
    ('{"ksql": "TERMINATE nothing;"}', 400, 40001, "Unknown queryId: NOTHING"),
    ('{"ksql": "RUN SCRIPT \'x.sql\';"}', 400, 40001, "does not read files"),
    ('{"ksql": "SELECT ${x} FROM a;"}', 400, 40001, "not yet implemented"),
]


@pytest.mark.parametrize(("body", "status", "code", "message"), WRONG, ids=[w[0] or "empty" for w in WRONG])
def test_wrong_requests(ksqldb: KsqlServerProcess, body: str, status: int, code: int, message: str) -> None:
    response = requests.post(f"{ksqldb.url}/ksql", data=body.encode(), timeout=10)
    assert response.status_code == status, response.text
    if status != 200:
        error: dict[str, Any] = response.json()
        assert error["error_code"] == code
        assert message in error["message"]
        assert "Traceback" not in response.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/ksql", 405)])
def test_wrong_addresses(ksqldb: KsqlServerProcess, method: str, path: str, status: int) -> None:
    response = requests.request(method, ksqldb.url + path, timeout=5)
    assert (response.status_code, response.json()["error_code"]) == (status, status * 100)


def test_a_huge_body_is_refused_in_bounded_memory(ksqldb: KsqlServerProcess) -> None:
    before = ksqldb.resident_mb()
    response = requests.post(f"{ksqldb.url}/ksql", data=(b" " * 1_000_000 for _ in range(100)), timeout=60)
    assert response.status_code == 413
    assert "larger than the 10,000,000 bytes" in response.json()["message"]
    assert ksqldb.resident_mb() - before < 60


def test_properties_are_valid_or_not(ksqldb: KsqlServerProcess) -> None:
    names = ["ksql.streams.auto.offset.reset", "commit.interval.ms", "ksql.functions.x.y", "consumer.max.poll.records"]
    for name in names:
        assert requests.get(f"{ksqldb.url}/is_valid_property/{name}", timeout=5).json() is True
    refused = requests.get(f"{ksqldb.url}/is_valid_property/ksql.service.id", timeout=5)
    assert (refused.status_code, refused.json()["error_code"]) == (400, 40000)


# --- the process ------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_the_streams_and_ends_open_queries_cleanly(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ksql(
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
            "CREATE STREAM t AS SELECT * FROM s;"
        )
        with server.post("/query", {"ksql": "SELECT * FROM s EMIT CHANGES;"}, stream=True) as response:
            assert server.stop() == 0
            assert response.text.endswith('{"finalMessage":"Query terminated"}]')
        server.start()
        assert [q["id"] for q in server.ksql("SHOW QUERIES;")[0]["queries"]] == ["CSAS_T_3"]


def test_terminating_the_cluster_leaves_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ksql(
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
            "CREATE STREAM t AS SELECT * FROM s; CREATE STREAM u AS SELECT * FROM t;"
        )
        assert server.post("/ksql/terminate", {"deleteTopicList": ["("]}).status_code == 400
        answer = server.post("/ksql/terminate", {"deleteTopicList": ["T"]}).json()
        assert answer[0]["commandStatus"]["status"] == "SUCCESS"
        assert requests.get(f"{server.url}/info", timeout=5).json()["KsqlServerInfo"]["serverStatus"] == "TERMINATED"
        refused = server.post("/ksql", {"ksql": "SHOW STREAMS;"})
        assert (refused.status_code, refused.json()["error_code"]) == (503, 50300)
        server.stop()
        server.start()
        assert [s["name"] for s in server.ksql("SHOW STREAMS;")[0]["streams"]] == ["KSQL_PROCESSING_LOG"]
        topics = {t["name"] for t in server.ksql("SHOW TOPICS;")[0]["topics"]}
        assert topics & {"s", "T", "U"} == {"s", "U"}


def start(server: KsqlServerProcess, listen: str) -> subprocess.CompletedProcess[str]:
    command = [listen if argument == server.address else argument for argument in server.command]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_taken_port_is_named_in_a_sentence(ksqldb: KsqlServerProcess) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = start(ksqldb, f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert f"Port {port} on 127.0.0.1 is already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "no.such.host.invalid:8088"])
def test_an_address_that_is_none_is_told_in_a_sentence(ksqldb: KsqlServerProcess, listen: str) -> None:
    ended = start(ksqldb, listen)
    assert ended.returncode == 1
    assert listen.split(":")[0] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_killed_server_has_everything_back(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ksql("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        server.ksql("INSERT INTO s VALUES (1);")
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        assert eventually(lambda: server.rows("SELECT * FROM s;")) == [[1]]
        health = requests.get(f"{server.url}/healthcheck", timeout=5)
        assert (health.status_code, json.loads(health.text)["isHealthy"]) == (200, True)
