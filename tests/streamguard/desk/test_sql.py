"""SQL at the desk on a real server: who may run what, answers as they come, refusals at their place, and an end on request."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamguard.desk import sqlrun
from streamguard.desk.sqlrun import SqlRun
from streamguard.sqldeploy.console import parts_of
from tests.streamguard.desk.conftest import Client, Programs
from tests.streamguard.desk.plumbing import EVIL, FRAGMENT, audit, make_topic, on_broker, produce
from tests.support.broker import BrokerProcess, free_port
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess, eventually

STREAM = "CREATE STREAM payments (id STRING, amount DECIMAL(10, 2)) WITH (kafka_topic='payments', value_format='JSON');"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    """One server and broker for this file, with a stream of three records."""
    folder = tmp_path_factory.mktemp("sql")
    with BrokerProcess(folder / "log") as broker:
        make_topic(broker, "payments", 1)
        values = [{"id": "a", "amount": 1.5}, {"id": EVIL, "amount": 20}, {"id": "c", "amount": None}]
        produce(broker, "payments", *({"value": json.dumps(value).encode()} for value in values))
        process = KsqlServerProcess(folder, broker.address).start()
        process.ksql(STREAM)
        yield process
        process.stop()


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess, server: KsqlServerProcess) -> Desk:
    return on_broker(desk, broker, ksqldb_url=server.url)


def run(client: Client, role: str, sql: str, **fields: str) -> list[dict[str, Any]]:
    """The events of a run that ends."""
    answer = client(role).post("/sql/run", data={"sql": sql, **fields}, headers=FRAGMENT)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def found(events: list[dict[str, Any]], kind: str) -> list[Any]:
    return [event[kind] for event in events if kind in event]


def test_rows_come_with_their_columns_and_digits(client: Client) -> None:
    events = run(client, "analyst", "SELECT * FROM payments EMIT CHANGES LIMIT 3;", begin="earliest")
    assert found(events, "columns") == [["ID", "AMOUNT"]]
    assert found(events, "row") == [["a", "1.50"], [EVIL, "20.00"], ["c", "null"]]
    assert found(events, "said") == ["Limit Reached"] and found(events, "done")


def test_statements_run_in_their_order_and_set_properties(client: Client, desk: Desk) -> None:
    sql = "SET 'auto.offset.reset'='earliest'; SHOW STREAMS; DESCRIBE payments;\nPRINT payments FROM BEGINNING LIMIT 2;"
    events = run(client, "analyst", sql)
    assert found(events, "kind") == ["SHOW", "DESCRIBE", "PRINT"]
    blocks = found(events, "block")
    assert blocks[0]["title"] == "streams" and "PAYMENTS" in [row[0] for row in blocks[0]["rows"]]
    assert blocks[1]["rows"][1] == ["AMOUNT", "DECIMAL(10, 2)", ""]
    assert sum(event.get("is_row", False) for event in events) == 2
    [(who, subject, *_)] = audit(desk, "personal_data.opened")
    assert (who, subject) == ("analyst", "statement PRINT payments FROM BEGINNING LIMIT 2;"), "who saw records"


@pytest.mark.parametrize(
    ("sql", "said", "place"),
    [
        ("SHOW STREAMS;\nSELECT nothing FROM payments EMIT CHANGES;", "'NOTHING' cannot be resolved", (2, 8)),
        ("SHOW\n  NOTHING;", "Syntax", (2, 3)),
        ("\n SELECT * FROM nowhere EMIT CHANGES;", "NOWHERE does not exist", (2, 2)),
    ],
)
def test_a_refusal_has_its_place(client: Client, sql: str, said: str, place: tuple[int, int]) -> None:
    [*_, last] = run(client, "analyst", sql)
    assert said in last["error"] and (last["line"], last["column"]) == place


def test_who_may_read_changes_nothing(client: Client, desk: Desk, server: KsqlServerProcess) -> None:
    before = server.ksql("SHOW STREAMS;")
    for sql in (
        "DROP STREAM payments;",
        "SHOW STREAMS;\n--\rDROP STREAM payments;",
        "DEFINE v='DROP'; ${v} STREAM payments;",
    ):
        answer = client("analyst").post("/sql/run", data={"sql": sql, "reason": "x"}, headers=FRAGMENT)
        assert answer.status_code == 403 and "the role analyst may read" in answer.json()["error"]
    assert client("viewer").post("/sql/run", data={"sql": "SHOW STREAMS;"}, headers=FRAGMENT).status_code == 403
    assert client("viewer").get("/sql").status_code == 403
    assert server.ksql("SHOW STREAMS;") == before and audit(desk, "sql.change") == []


def test_a_change_has_its_reason_in_the_log(client: Client, desk: Desk, server: KsqlServerProcess) -> None:
    made = "CREATE STREAM made AS SELECT id FROM payments; SELECT * FROM made LIMIT 1;"
    answer = client("lead").post("/sql/run", data={"sql": made}, headers=FRAGMENT)
    assert answer.status_code == 409 and "a reason is needed" in answer.json()["error"]
    events = run(client, "lead", made, reason="to try it")
    assert not found(events, "error") and "Created query" in found(events, "block")[0]["text"]
    [entry] = audit(desk, "sql.change")
    assert entry[:3] == ("lead", "statement CREATE STREAM made AS SELECT id FROM payments;", "to try it")
    [_, refused] = run(client, "lead", "CREATE STREAM made AS SELECT id FROM payments;", reason="again")
    assert "already exists" in refused["error"]
    assert len(audit(desk, "sql.change")) == 1, "what was refused changed nothing"
    assert not found(run(client, "lead", "DROP STREAM made DELETE TOPIC;", reason="enough"), "error")


def test_a_change_whose_answer_is_lost_is_in_the_log(client: Client, desk: Desk) -> None:
    desk.settings.ksqldb_url = f"http://127.0.0.1:{free_port()}"
    [_, said] = run(client, "lead", "DROP STREAM payments;", reason="to try it")
    assert "no ksqlDB server answers" in said["error"]
    [entry] = audit(desk, "sql.change")
    assert isinstance(entry[4], dict) and entry[4]["outcome"].startswith("not known: no ksqlDB server answers")


def test_the_tree_has_names_with_columns(client: Client) -> None:
    names = client("analyst").get("/sql/names", headers=FRAGMENT).json()
    [stream] = [one for one in names["streams"] if one["name"] == "PAYMENTS"]
    assert stream["columns"] == [
        {"name": "ID", "type": "STRING", "key": False},
        {"name": "AMOUNT", "type": "DECIMAL(10, 2)", "key": False},
    ]
    assert {"name": "payments"} in names["topics"] and any(one["name"] == "UCASE" for one in names["functions"])


def test_the_page_has_the_text_of_its_address(client: Client) -> None:
    page = client("analyst").get("/sql", params={"text": "</textarea>" + EVIL}).text
    assert EVIL not in page and "&lt;/textarea&gt;" in page


def test_nothing_is_run_for_no_statement(client: Client) -> None:
    answer = client("analyst").post("/sql/run", data={"sql": " -- only a comment"}, headers=FRAGMENT)
    assert "there is no statement" in answer.json()["error"]


def test_an_unavailable_server_is_a_sentence(client: Client, desk: Desk) -> None:
    desk.settings.ksqldb_url = f"http://127.0.0.1:{free_port()}"
    [_, said] = run(client, "analyst", "SHOW STREAMS;")
    assert "no ksqlDB server answers at http://127.0.0.1:" in said["error"] and said["line"] is None
    answer = client("analyst").get("/sql/names", headers=FRAGMENT)
    assert answer.status_code == 503 and "no ksqlDB server answers" in answer.json()["error"]


def made_run(desk: Desk, sql: str, **more: Any) -> SqlRun:
    options: dict[str, Any] = {"user": "analyst", "reason": "", "limit": 1_000, **more}
    properties = {"ksql.streams.auto.offset.reset": "earliest"}
    return SqlRun(desk.settings.ksqldb, desk.engine, parts_of(sql, properties), **options)


def transient(server: KsqlServerProcess) -> list[str]:
    [entity] = server.ksql("SHOW QUERIES;")
    return [query["id"] for query in entity["queries"] if query["queryType"] == "PUSH"]


def test_a_push_query_that_is_stopped_ends_on_the_server(desk: Desk, server: KsqlServerProcess) -> None:
    made = made_run(desk, "SELECT * FROM payments EMIT CHANGES;")
    events = made.events()
    rows = [event for event in (next(events) for _ in range(5)) if "row" in event]
    assert len(rows) == 3
    eventually(lambda: transient(server))
    rest: list[Any] = []
    reader = threading.Thread(target=lambda: rest.extend(events))  # waits for a row that never comes
    reader.start()
    made.close()
    reader.join(30)
    assert not reader.is_alive() and not any("row" in event for event in rest)
    eventually(lambda: not transient(server))


def test_a_query_ends_at_its_limit(desk: Desk, server: KsqlServerProcess) -> None:
    events = list(made_run(desk, "SELECT * FROM payments EMIT CHANGES;", limit=2).events())
    assert len(found(events, "row")) == 2 and "Stopped after 2 rows" in found(events, "said")[0]
    eventually(lambda: not transient(server))


def lines_of(made: SqlRun) -> list[dict[str, Any]]:
    """All lines of a run, on a loop of their own: in this thread a browser of another test may have one."""

    async def all_lines() -> list[dict[str, Any]]:
        return [json.loads(line) async for line in made.lines()]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(all_lines())).result(60)


def test_a_run_that_takes_too_long_is_ended(desk: Desk, server: KsqlServerProcess) -> None:
    lines = lines_of(made_run(desk, "SELECT * FROM payments EMIT CHANGES;", most_s=0.0))
    assert "run it again" in lines[-1]["said"]
    eventually(lambda: not transient(server))


def test_more_runs_than_there_may_be_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlrun, "_SLOTS", threading.BoundedSemaphore(1))
    assert sqlrun._SLOTS.acquire(blocking=False)
    [line] = lines_of(made_run(desk, "SHOW STREAMS;"))
    assert "run at the desk already" in line["error"]
    sqlrun._SLOTS.release()
    for _ in range(2):
        assert len(lines_of(made_run(desk, "SHOW STREAMS;"))) == 3, "a run that ended gives its place back"


def test_programs_stream_queries_and_run_statements(program: Programs, desk: Desk, server: KsqlServerProcess) -> None:
    analyst, lead = program("analyst", "read"), program("lead")

    def asked(sql: str) -> list[dict[str, Any]]:
        answer = analyst.get("sql/rows", params={"sql": sql, "begin": "earliest", "limit": 2})
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/x-ndjson", answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    assert found(asked("SELECT id FROM payments EMIT CHANGES;"), "row") == [["a"], [EVIL]]
    assert "PAYMENTS" in str(found(asked("SHOW STREAMS;"), "block"))
    assert found(asked("SELECT x FROM nothing;"), "error")
    refused = analyst.get("sql/rows", params={"sql": "DROP STREAM payments;"})
    assert refused.status_code == 422 and "DROP changes the server" in refused.json()["error"]
    eventually(lambda: not transient(server))

    sql = "CREATE STREAM api_a AS SELECT id FROM payments;\nDROP STREAM nothing_such;\nDROP STREAM payments;"
    assert program("analyst").post("sql", json={"sql": sql, "reason": "r"}).status_code == 403
    key = {"idempotency-key": "once"}
    done = [lead.post("sql", json={"sql": sql, "reason": "a trial"}, headers=key).json() for _ in range(2)]
    assert (
        done[0] == done[1] and len(done[0]["done"]) == 1 and done[0]["line"] == 2 and "NOTHING_SUCH" in done[0]["error"]
    )
    assert [(row[0], row[2]) for row in audit(desk, "sql.change")] == [("lead", "a trial")]
    first = lead.post("sql", json={"sql": "DROP STREAM nothing_such;", "reason": "r"})
    assert first.status_code == 409 and "NOTHING_SUCH" in first.json()["error"]
    query = lead.post("sql", json={"sql": "SELECT * FROM payments;", "reason": "r"})
    assert query.status_code == 422 and "/sql/rows" in query.json()["error"]
    assert lead.post("sql", json={"sql": "-- nothing", "reason": "r"}).status_code == 409
    server.ksql("DROP STREAM api_a DELETE TOPIC;")
