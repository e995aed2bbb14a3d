"""HTTP/2 without TLS: how ksqlDB's Java client and the streaming endpoints communicate."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.http2 import DELIMITED, Http2Client
from tests.support.ksqldb import EARLIEST, KsqlServerProcess, eventually


@pytest.fixture
def http2(ksqldb: KsqlServerProcess) -> Iterator[Http2Client]:
    with Http2Client(("127.0.0.1", ksqldb.port)) as client:
        yield client


def test_many_requests_share_a_connection(http2: Http2Client) -> None:
    streams = [http2.request("GET", "/info", accept="application/json") for _ in range(20)]
    bodies = {http2.finish(s) for s in streams}
    assert len(bodies) == 1
    assert json.loads(bodies.pop())["KsqlServerInfo"]["version"] == "0.29.0"


@pytest.mark.parametrize("path", ["/query", "/query-stream"])
def test_rows_come_while_the_query_runs(http2: Http2Client, ksqldb: KsqlServerProcess, stream: str, path: str) -> None:
    query = http2.post(path, {"sql": f"SELECT * FROM {stream} EMIT CHANGES;", "properties": EARLIEST})
    header = json.loads(http2.next_line(query) or "")
    assert query.headers["content-type"] == DELIMITED
    assert header["columnNames"] == ["ID", "AMOUNT"]
    for n in range(3):
        ksqldb.ksql(f"INSERT INTO {stream} VALUES ('a', {n}.5);")
        assert json.loads(http2.next_line(query) or "") == ["a", n + 0.5]
    closing = http2.post("/close-query", {"queryId": header["queryId"]})
    assert (http2.finish(closing), closing.status) == ("", 200)
    assert http2.next_line(query) is None


def test_a_cancelled_stream_ends_its_query(http2: Http2Client, ksqldb: KsqlServerProcess, stream: str) -> None:
    query = http2.post("/query-stream", {"sql": f"SELECT * FROM {stream} EMIT CHANGES;"})
    query_id = json.loads(http2.next_line(query) or "")["queryId"]

    def running() -> list[str]:
        return [q["id"] for q in ksqldb.ksql("SHOW QUERIES;")[0]["queries"]]

    assert query_id in running()
    http2.reset(query)
    eventually(lambda: query_id not in running())


def test_inserts_are_acknowledged_one_by_one(http2: Http2Client, ksqldb: KsqlServerProcess, stream: str) -> None:
    inserts = http2.request(
        "POST", "/inserts-stream", json.dumps({"target": stream.lower()}).encode() + b"\n", end=False
    )
    for n in range(3):
        http2.send(inserts, json.dumps({"ID": "a", "amount": n + 0.25}).encode() + b"\n")
        assert json.loads(http2.next_line(inserts) or "") == {"status": "ok", "seq": n}
    http2.send(inserts, b'{"ID":"b","NOTHING":1}\n{"ID":"b","AMOUNT":"x"}\nno json\n', end=True)
    errors = [json.loads(line) for line in http2.finish(inserts).splitlines()[3:]]
    assert [(e["status"], e["seq"], e["error_code"]) for e in errors] == [("error", n, 40000) for n in (3, 4, 5)]
    assert "Column name `NOTHING` does not exist." in errors[0]["message"]
    assert ksqldb.rows(f"SELECT * FROM {stream};") == [["a", 0.25], ["a", 1.25], ["a", 2.25]]


@pytest.mark.parametrize(
    ("first_line", "message"),
    [
        ('{"target":"NOTHING"}', "unknown stream/table: `NOTHING`"),
        ('{"target":"ksql_processing_log_x"}', "unknown stream/table"),
        ("{}", "'target'"),
        ("[1]", "must be a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_a_bad_target_is_refused_before_anything_is_acknowledged(
    http2: Http2Client, first_line: str, message: str
) -> None:
    inserts = http2.request("POST", "/inserts-stream", f'{first_line}\n{{"ID":"a"}}\n'.encode())
    body = json.loads(http2.finish(inserts))
    assert inserts.status == 400
    assert message in body["message"]


def test_a_client_can_upgrade_to_http2(ksqldb: KsqlServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", ksqldb.port), timeout=10) as connection:
        connection.sendall(
            b"GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        assert connection.recv(1024).startswith(b"HTTP/1.1 101")


def test_an_upgrade_with_a_body_is_served_as_it_came(ksqldb: KsqlServerProcess, stream: str) -> None:
    """Some clients ask for HTTP/2 with their first request, body and all."""
    body = f'{{"target":"{stream}"}}\n{{"ID":"a","AMOUNT":1}}\n'.encode()
    head = (
        f"POST /inserts-stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        f"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", ksqldb.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while part := connection.recv(4096):
            answer += part
            if b"seq" in answer:
                break
    assert b'{"status":"ok","seq":0}' in answer


def test_an_answer_before_the_body_leaves_the_connection_whole(http2: Http2Client) -> None:
    """The refusal of a header comes at once; what the client sends of the body meanwhile is for nobody."""
    other = http2.request("POST", "/inserts-stream", b"", end=False)
    for round_ in range(8):
        refused = http2.request("POST", "/ksql", b'{"ksql":', end=False, origin="https://evil.example")
        assert json.loads(http2.finish(refused))["error_code"] == 40300
        # Together more than the window of the connection: the server gives back what it throws away.
        for _ in range(2):
            http2.send(refused, b" " * 16_000)
        http2.send(refused, b"", end=True)
        answer = http2.request("GET", "/info", accept="application/json")
        assert json.loads(http2.finish(answer))["KsqlServerInfo"]["serverStatus"] == "RUNNING", round_
    http2.send(other, b"{}\n", end=True)
    assert "'target'" in http2.finish(other)
