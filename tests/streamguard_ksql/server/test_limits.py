"""A query that takes too much ends alone, with its reason; the server answers all the while."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.ksqldb import EARLIEST, KsqlServerProcess, eventually, running_server

pytestmark = pytest.mark.integration
SLOW = "(a|aa)+$"
"""With it, the time doubles with each character of a text that does not match."""
TEXT = "a" * 200 + "!"
SOURCE = (
    "CREATE STREAM {name} (id STRING KEY, text STRING) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    limits = ("--set", "ksql.functions.regexp.timeout.ms=1500")
    with running_server(tmp_path_factory.mktemp("limits"), *limits) as found:
        yield found


def queries(server: KsqlServerProcess) -> dict[str, dict[str, int]]:
    """The states of the persistent queries, by id."""
    shown = server.ksql("SHOW QUERIES;")[0]["queries"]
    return {q["id"]: q["statusCount"] for q in shown if q["queryType"] == "PERSISTENT"}


def reason(server: KsqlServerProcess, query_id: str) -> str:
    """Why a query has ended; empty while it has not."""
    warnings = server.ksql("SHOW QUERIES;")[0].get("warnings") or []
    return "".join(w["message"] for w in warnings if query_id in w["message"])


def test_a_regular_expression_that_takes_too_long_ends_its_query_alone(server: KsqlServerProcess) -> None:
    server.ksql(SOURCE.format(name="texts"))
    [slow] = server.ksql(
        f"CREATE STREAM slow AS SELECT id, REGEXP_EXTRACT('{SLOW}', text) AS found FROM texts;",
        streamsProperties=EARLIEST,
    )
    server.ksql("CREATE STREAM other AS SELECT id, UCASE(text) AS found FROM texts;", streamsProperties=EARLIEST)
    query_id = slow["commandStatus"]["queryId"]
    server.ksql(f"INSERT INTO texts VALUES ('x', '{TEXT}');")
    answers = 0
    while not reason(server, query_id):
        assert requests.get(f"{server.url}/info", timeout=30).ok
        answers += 1
    assert answers > 3, "the server answers while the expression is evaluated"
    assert f"The regular expression '{SLOW}' took longer than 1500 ms on a text of 201" in reason(server, query_id)
    assert queries(server)[query_id] == {"ERROR": 1}
    server.ksql("INSERT INTO texts VALUES ('y', 'aaa');")
    assert server.rows("SELECT * FROM other EMIT CHANGES LIMIT 2;")[1] == ["y", "AAA"]


def test_a_push_query_ends_with_the_reason(server: KsqlServerProcess) -> None:
    server.ksql(SOURCE.format(name="pushed"))
    server.ksql(f"INSERT INTO pushed VALUES ('x', '{TEXT}');")
    sql = f"SELECT REGEXP_REPLACE(text, '{SLOW}', '') FROM pushed EMIT CHANGES;"
    response = server.post("/query", {"ksql": sql, "streamsProperties": EARLIEST})
    [*_, last] = json.loads(response.text)
    assert "took longer than 1500 ms" in json.dumps(last)


def test_an_expression_of_a_statement_is_refused_with_the_reason(server: KsqlServerProcess) -> None:
    server.ksql(SOURCE.format(name="inserted"))
    refused = server.refused(f"INSERT INTO inserted VALUES ('x', REGEXP_REPLACE('{TEXT}', '{SLOW}', ''));")
    assert "took longer than 1500 ms" in refused["message"]


@pytest.mark.parametrize("name", ["ksql.functions.regexp.timeout.ms", "ksql.query.memory.limit.bytes"])
def test_a_session_cannot_change_a_limit(server: KsqlServerProcess, name: str) -> None:
    refused = server.refused("SHOW QUERIES;", streamsProperties={name: "1000000"})
    assert "prohibited by the KSQL server denylist" in refused["message"]


def test_a_limit_that_is_no_number_stops_the_start(tmp_path: Path, server: KsqlServerProcess) -> None:
    setting = "ksql.query.memory.limit.bytes=much"
    other = KsqlServerProcess(tmp_path, server.bootstrap_servers, ("--set", setting))
    with pytest.raises(RuntimeError, match=f"{setting} is not a whole number above 0"):
        other.start()


def test_rows_wait_for_their_client(server: KsqlServerProcess) -> None:
    """A record makes a million rows; there are a few records, and the client takes some thousand rows."""
    server.ksql(SOURCE.format(name="exploded"))
    for n in range(20):
        server.ksql(f"INSERT INTO exploded VALUES ('{n}', 'x');")
    before = server.resident_mb()
    sql = "SELECT id, EXPLODE(GENERATE_SERIES(1, 1000000)) AS n, text FROM exploded EMIT CHANGES;"
    body = {"sql": sql, "properties": EARLIEST}
    with server.post("/query-stream", body, "application/vnd.ksqlapi.delimited.v1", stream=True) as response:
        lines = response.iter_lines()
        header = json.loads(next(lines))
        for n in range(1, 50_000):
            assert json.loads(next(lines))[1] == n
        assert server.resident_mb() - before < 200
        server.post("/close-query", {"queryId": header["queryId"]})


def test_a_limit_ends_a_query_in_the_middle_of_a_record(server: KsqlServerProcess) -> None:
    server.ksql(SOURCE.format(name="cut"))
    server.ksql("INSERT INTO cut VALUES ('a', 'x');")
    sql = "SELECT EXPLODE(GENERATE_SERIES(1, 1000000)) AS n FROM cut EMIT CHANGES LIMIT 3;"
    assert server.rows(sql) == [[1], [2], [3]]


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[KsqlServerProcess]:
    """A server that may have 300 MB."""
    with running_server(tmp_path, "--set", f"ksql.server.memory.limit.bytes={300 * 1024 * 1024}") as found:
        yield found


GROWING = {
    "state": "CREATE TABLE grows AS SELECT n, COLLECT_LIST(LPAD('x', 2000, 'x')) AS l FROM numbers GROUP BY n;",
    "values": "CREATE STREAM grows AS SELECT id, "
    "TRANSFORM(GENERATE_SERIES(1, 1000000), x => GENERATE_SERIES(x, x + 1000)) AS l FROM given;",
}


@pytest.mark.parametrize("what", GROWING)
def test_the_query_that_takes_the_servers_memory_ends_alone(small_server: KsqlServerProcess, what: str) -> None:
    """By its state, batch after batch; or by values within one batch."""
    server = small_server
    server.ksql(SOURCE.format(name="given"))
    server.ksql("CREATE STREAM small AS SELECT id, UCASE(text) AS t FROM given;", streamsProperties=EARLIEST)
    server.ksql(
        "CREATE STREAM numbers AS SELECT id, EXPLODE(GENERATE_SERIES(1, 300000)) AS n FROM given;",
        streamsProperties=EARLIEST,
    )
    [grows] = server.ksql(GROWING[what], streamsProperties=EARLIEST)
    server.ksql("INSERT INTO given VALUES ('a', 'x');")
    query_id = grows["commandStatus"]["queryId"]
    why = eventually(lambda: reason(server, query_id), 120)
    assert ("The server takes" in why and "ksql.server.memory.limit.bytes" in why) or "Its state takes" in why
    assert server.resident_mb() < 1000
    assert [states for other, states in queries(server).items() if other != query_id] == [{"RUNNING": 1}] * 2
    assert server.rows("SELECT t FROM small EMIT CHANGES LIMIT 1;") == [["X"]]


ENDLESS = "REDUCE(GENERATE_SERIES(1, 1000000), 0, (s, i) => REDUCE(GENERATE_SERIES(1, 1000000), s, (t, j) => t + j))"


def test_statements_that_never_end_are_ended_and_hold_nothing_up(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "ksql.query.batch.cpu.limit.ms=1500") as server:
        server.ksql("CREATE STREAM s (id STRING KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        server.ksql("CREATE TABLE t AS SELECT id, COUNT(*) AS c FROM s GROUP BY id;", streamsProperties=EARLIEST)
        server.ksql("INSERT INTO s VALUES ('a', 1);")
        eventually(lambda: server.rows("SELECT c FROM t WHERE id = 'a';") == [[1]])
        sql = f"INSERT INTO s VALUES ('a', {ENDLESS});"
        refused: list[Any] = []
        inserting = threading.Thread(target=lambda: refused.append(server.post("/ksql", {"ksql": sql})))
        inserting.start()
        while inserting.is_alive():
            assert len(server.ksql("SHOW QUERIES;")[0]["queries"]) == 1
        assert "more than 1500 ms of CPU time" in refused[0].json()["message"]
        pull = server.post("/query", {"ksql": f"SELECT {ENDLESS} FROM t WHERE id = 'a';"})
        assert "more than 1500 ms of CPU time" in pull.text
        server.ksql("INSERT INTO s VALUES ('a', 1);")
        eventually(lambda: server.rows("SELECT c FROM t WHERE id = 'a';") == [[2]])
