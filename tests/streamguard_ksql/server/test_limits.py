"""A query that takes too much ends alone, with its reason; the server answers all the while."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.ksqldb import EARLIEST, KsqlServerProcess, running_server

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
