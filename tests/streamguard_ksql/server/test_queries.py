"""Push and pull queries over HTTP/1.1: rows as they come, ends of every kind, and clients that misbehave."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.ksqldb import EARLIEST, V1, KsqlServerProcess, eventually, running_server


def open_queries(server: KsqlServerProcess) -> list[str]:
    return [q["id"] for q in server.ksql("SHOW QUERIES;")[0]["queries"] if q["queryType"] == "PUSH"]


def test_rows_come_line_by_line_while_the_query_runs(ksqldb: KsqlServerProcess, stream: str) -> None:
    body = {"ksql": f"SELECT * FROM {stream} EMIT CHANGES;", "streamsProperties": EARLIEST}
    with ksqldb.post("/query", body, stream=True) as response:
        lines = response.iter_lines(chunk_size=1)
        header = json.loads(next(lines).decode().strip("[,"))["header"]
        assert header["schema"] == "`ID` STRING, `AMOUNT` DOUBLE"
        for n in range(3):
            ksqldb.ksql(f"INSERT INTO {stream} VALUES ('a', {n});")
            assert json.loads(next(lines).decode().strip(",")) == {"row": {"columns": ["a", float(n)]}}
        assert header["queryId"] in open_queries(ksqldb)
        ksqldb.ksql(f"TERMINATE {header['queryId']};")
        assert json.loads(b"".join(lines).decode().strip(",]")) == {"finalMessage": "Query terminated"}


def test_a_client_that_goes_away_ends_its_query(ksqldb: KsqlServerProcess, stream: str) -> None:
    with ksqldb.post("/query", {"ksql": f"SELECT * FROM {stream} EMIT CHANGES;"}, stream=True) as response:
        lines = response.iter_lines(chunk_size=1)
        query_id = json.loads(next(lines).decode().strip("[,"))["header"]["queryId"]
        assert query_id in open_queries(ksqldb)
    eventually(lambda: query_id not in open_queries(ksqldb))


def test_print_ends_with_its_client(ksqldb: KsqlServerProcess, stream: str) -> None:
    ksqldb.ksql(f"INSERT INTO {stream} VALUES ('a', 1);")
    body = {"ksql": f"PRINT {stream.lower()} FROM BEGINNING;"}
    with ksqldb.post("/query", body, stream=True) as response:
        lines = response.iter_lines(chunk_size=1)
        assert next(lines) == b"Key format: KAFKA_STRING"
        assert len(open_queries(ksqldb)) == 1
    eventually(lambda: not open_queries(ksqldb))


def test_closing_an_unknown_query_is_refused(ksqldb: KsqlServerProcess) -> None:
    response = ksqldb.post("/close-query", {"queryId": "nothing"})
    assert response.status_code == 400
    assert response.json() == {"@type": "generic_error", "error_code": 40000, "message": "No query with id nothing"}


def test_every_type_as_json(ksqldb: KsqlServerProcess) -> None:
    ksqldb.ksql(
        "CREATE STREAM types (id INT KEY, b BOOLEAN, l BIGINT, f DOUBLE, d DECIMAL(6, 2), s STRING, y BYTES, da DATE, "
        "ti TIME, ts TIMESTAMP, a ARRAY<DATE>, m MAP<STRING, DECIMAL(3, 1)>, st STRUCT<x TIMESTAMP, `y z` BYTES>) "
        "WITH (KAFKA_TOPIC='types', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "INSERT INTO types VALUES (1, true, 9007199254740993, 1E10, 12.50, 'é\"', TO_BYTES('AQI=', 'base64'), "
        "'2020-02-29', '10:15:00.001', '2020-02-29T10:15:00.001', ARRAY[PARSE_DATE('2020-01-01', 'yyyy-MM-dd')], "
        "MAP('k' := 1.5), STRUCT(x := PARSE_TIMESTAMP('2020', 'yyyy'), `y z` := TO_BYTES('AQI=', 'base64')));"
        "INSERT INTO types (id, b) VALUES (2, NULL);"
    )
    body = {"sql": "SELECT * FROM types;", "properties": {}}
    header, *rows = ksqldb.post("/query-stream", body, "application/vnd.ksqlapi.delimited.v1").text.splitlines()
    assert json.loads(header)["columnTypes"][-3:] == [
        "ARRAY<DATE>",
        "MAP<STRING, DECIMAL(3, 1)>",
        "STRUCT<`X` TIMESTAMP, `y z` BYTES>",
    ]
    assert rows[0] == (
        '[1,true,9007199254740993,1.0E10,12.50,"é\\"","AQI=","2020-02-29","10:15","2020-02-29T10:15:00.001",'
        '["2020-01-01"],{"k":1.5},{"X":"2020-01-01T00:00:00.000","y z":"AQI="}]'
    )
    assert rows[1] == "[2" + ",null" * 12 + "]"


REFUSED: list[tuple[str, int, str]] = [
    ("CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON');", 40000, "not supported for this resource"),
    ("SELECT * FROM nothing;", 40001, "NOTHING does not exist."),
    ("SELECT * FROM a; SELECT * FROM b;", 40001, "Expected exactly one KSQL statement; found 2 instead."),
    ("", 40001, "found 0 instead"),
    ("SELECT", 40001, "line 1:7"),
    ("PRINT nothing;", 40000, "Could not find topic 'nothing'"),
    ("SET 'auto.offset.reset'='now'; SELECT * FROM a;", 40000, "Invalid value now"),
    ("SET 'no.such.thing'='1'; SELECT * FROM a;", 40001, "Unknown property: no.such.thing"),
]


@pytest.mark.parametrize("path", ["/query", "/query-stream"])
@pytest.mark.parametrize(("sql", "code", "message"), REFUSED, ids=[r[0] or "empty" for r in REFUSED])
def test_refused_queries(ksqldb: KsqlServerProcess, path: str, sql: str, code: int, message: str) -> None:
    body = ksqldb.refused(sql, path)
    assert body["error_code"] == code
    assert message in body["message"]


def test_there_may_be_only_so_many_push_queries(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "ksql.max.push.queries=2") as server:
        server.ksql("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        body = {"ksql": "SELECT * FROM s EMIT CHANGES;"}
        open_ = [server.post("/query", body, stream=True) for _ in range(2)]
        refused = server.post("/query", body)
        assert refused.status_code == 429
        assert "Maximum number of push queries exceeded: 2 are open." in refused.json()["message"]
        open_.pop().close()
        eventually(lambda: len(open_queries(server)) == 1)
        with server.post("/query", body, stream=True) as admitted:
            assert admitted.status_code == 200
        open_.pop().close()


def test_a_thousand_clients_that_want_a_push_query(tmp_path: Path) -> None:
    """A hundred are served, the others are refused; memory stays bounded and the server answers."""
    with running_server(tmp_path) as server:
        server.ksql("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        before = server.resident_mb()
        body = b'{"ksql":"SELECT * FROM s EMIT CHANGES;"}'
        request = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(1000)]
        for client in clients:
            client.sendall(request)
        statuses = Counter(client.recv(12)[-3:] for client in clients)
        assert statuses == {b"200": 100, b"429": 900}
        assert server.resident_mb() - before < 300
        assert len(open_queries(server)) == 100
        for client in clients:
            client.close()
        eventually(lambda: not open_queries(server), 20)


def test_a_client_that_stops_reading_costs_no_memory(ksqldb: KsqlServerProcess, stream: str) -> None:
    """40 MB of rows wait for a client that takes none of them; others are served meanwhile."""
    value = "x" * 20_000
    ksqldb.ksql("CREATE STREAM wide (v STRING) WITH (KAFKA_TOPIC='wide', VALUE_FORMAT='JSON', PARTITIONS=1);")
    for _ in range(20):
        ksqldb.ksql(f"INSERT INTO wide VALUES ('{value}');" * 10)
    query = "SELECT " + ", ".join(f"CONCAT(v, '{n}') AS v{n}" for n in range(10)) + " FROM wide EMIT CHANGES;"
    body = json.dumps({"ksql": query, "streamsProperties": EARLIEST}).encode()
    head = f"POST /query HTTP/1.1\r\nHost: localhost\r\nAccept: {V1}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    before = ksqldb.resident_mb()
    with socket.create_connection(("127.0.0.1", ksqldb.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(head + body)
        time.sleep(1.5)
        assert requests.get(f"{ksqldb.url}/info", timeout=5).ok
        assert ksqldb.resident_mb() - before < 150
        assert open_queries(ksqldb)
    eventually(lambda: not open_queries(ksqldb))


def test_a_pull_query_that_streams_ends_where_the_stream_ends(ksqldb: KsqlServerProcess, stream: str) -> None:
    ksqldb.ksql("".join(f"INSERT INTO {stream} VALUES ('a', {n});" for n in range(5)))
    text = ksqldb.post("/query", {"ksql": f"SELECT amount FROM {stream};"}).text
    entries: list[dict[str, Any]] = json.loads(text)
    assert [e["row"]["columns"] for e in entries if "row" in e] == [[float(n)] for n in range(5)]
    assert entries[-1] == {"finalMessage": "Query Completed"}
