"""Who may give orders: no page of a browser, no other name, nobody from the network."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import requests

from tests.support.ksqldb import KsqlServerProcess, running_server

PATHS = ("/ksql", "/query", "/query-stream", "/inserts-stream", "/ksql/terminate", "/close-query")
KSQL_JSON = "application/vnd.ksql.v1+json"
ORDER = '{"ksql": "CREATE TYPE forged AS STRING;"}'
FORGED = [
    ({"Host": "evil.example"}, 403, "not known as 'evil.example'"),
    ({"Host": "evil.example:8088"}, 403, "not known as 'evil.example:8088'"),
    ({"Host": "127.0.0.1.evil.example"}, 403, "not known as"),
    ({"Origin": "https://evil.example"}, 403, "A page of 'https://evil.example' may not"),
    ({"Origin": "http://127.0.0.1:1"}, 403, "A page of 'http://127.0.0.1:1' may not"),
    ({"Origin": "null"}, 403, "A page of 'null' may not"),
    ({"Sec-Fetch-Site": "cross-site"}, 403, "A page of 'another site' may not"),
    ({"Sec-Fetch-Site": "same-site"}, 403, "A page of 'another site' may not"),
    ({"Content-Type": "text/plain"}, 415, "send application/json"),
    ({"Content-Type": "text/plain;charset=UTF-8"}, 415, "send application/json"),
    ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "send application/json"),
    ({"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Mode": "no-cors"}, 415, "send application/json"),
]


def types(ksqldb: KsqlServerProcess) -> set[str]:
    return set(ksqldb.ksql("LIST TYPES;")[0]["types"])


@pytest.mark.parametrize(("headers", "status", "said"), FORGED)
def test_what_a_page_of_a_browser_sends_is_refused(
    ksqldb: KsqlServerProcess, headers: dict[str, str], status: int, said: str
) -> None:
    for path in PATHS:
        answer = requests.post(ksqldb.url + path, ORDER, headers={"Content-Type": KSQL_JSON, **headers}, timeout=30)
        assert answer.status_code == status, (path, answer.text)
        assert said in answer.json()["message"] and answer.json()["error_code"] == status * 100
    assert "FORGED" not in types(ksqldb)
    assert requests.get(ksqldb.url + "/info", timeout=30).json()["KsqlServerInfo"]["serverStatus"] == "RUNNING"


def test_a_thousand_of_them_change_nothing(ksqldb: KsqlServerProcess) -> None:
    draw = random.Random(16)
    ksqldb.ksql(
        "CREATE STREAM IF NOT EXISTS kept (v INT) WITH (KAFKA_TOPIC='kept', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    look = "LIST STREAMS; LIST TABLES; LIST QUERIES; LIST TOPICS; LIST TYPES; LIST PROPERTIES;"
    before = ksqldb.ksql(look)
    orders = [ORDER, '{"ksql": "DROP STREAM kept DELETE TOPIC;"}', '{"ksql": "INSERT INTO kept VALUES (1);"}', "{}", ""]
    answers: Counter[int] = Counter()
    with requests.Session() as session:
        for _ in range(1_000):
            headers, status, _said = draw.choice(FORGED)
            given = {"Content-Type": KSQL_JSON, **headers}
            answer = session.post(ksqldb.url + draw.choice(PATHS), draw.choice(orders), headers=given, timeout=30)
            answers[answer.status_code] += answer.status_code == status
    assert answers.total() == 1_000, answers
    assert ksqldb.ksql(look) == before
    assert ksqldb.rows("SELECT * FROM kept;") == []


@pytest.mark.parametrize("kind", [KSQL_JSON, "application/json", "application/json; charset=utf-8", None])
def test_programs_are_answered(ksqldb: KsqlServerProcess, kind: str | None) -> None:
    """curl without a header says application/x-www-form-urlencoded, as in the examples of ksqlDB's manual."""
    for host, given in product(("127.0.0.1", "localhost"), (kind or "application/x-www-form-urlencoded",)):
        url = ksqldb.url.replace("127.0.0.1", host)
        headers = {"Content-Type": given, "Host": url.removeprefix("http://")}
        answer = requests.post(ksqldb.url + "/ksql", '{"ksql": "LIST TYPES;"}', headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text


def test_a_page_of_the_server_itself_may(ksqldb: KsqlServerProcess) -> None:
    headers = {"Content-Type": "application/json", "Origin": ksqldb.url, "Sec-Fetch-Site": "same-origin"}
    assert requests.post(ksqldb.url + "/ksql", '{"ksql": "LIST TYPES;"}', headers=headers, timeout=30).ok


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    command = [sys.executable, "-m", "streamguard_ksql.server", "--data-dir", str(tmp_path), "--listen", f"{host}:0"]
    done = subprocess.run([*command, "--bootstrap-servers", "127.0.0.1:1"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"Other machines reach {host}, so listening there needs logins" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_proxy_may_lead_here_under_the_advertised_name(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "ksql.advertised.listener=https://sql.example:443") as server:
        for host, status in (("sql.example", 200), ("sql.example:443", 200), ("evil.example", 403)):
            assert requests.get(server.url + "/info", headers={"Host": host}, timeout=30).status_code == status
