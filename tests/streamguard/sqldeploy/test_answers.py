"""Answers of a ksqlDB server as tables and texts; figures keep the digits that were sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamguard.sqldeploy.answers import blocks_of, columns_of_schema, row_event, type_name
from streamguard.sqldeploy.console import Part, SqlRefused, refusal
from tests.support.project import PROJECT_ROOT

SELECT = Part("SELECT", "SELECT", "SELECT", 2, 3, {})
PRINT = Part("PRINT x", "PRINT x", "PRINT", 1, 1, {})


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ("`A` STRING KEY, `B` DECIMAL(19, 4)", ["A", "B"]),
        ("`S` STRUCT<`C` INT, `D` MAP<STRING, ARRAY<INT>>>, `a, b` INT", ["S", "a, b"]),
        ("`odd<` INT, `x` INT", ["odd<", "x"]),
        ("", []),
    ],
)
def test_columns_of_a_header(schema: str, names: list[str]) -> None:
    assert columns_of_schema(schema) == names


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('[{"header":{"queryId":"q","schema":"`A` STRING"}},', {"columns": ["A"]}),
        ('[{"header":{"queryId":"q","schema":"`A` STRING"}}]', {"columns": ["A"]}),
        ('{"row":{"columns":["x",5.1000,null,true,[1.50,"y"],{"k":2.0}]}},',
         {"row": ["x", "5.1000", "null", "true", '[1.50, "y"]', '{"k": 2.0}'], "gone": False}),
        ('{"row":{"columns":["[a]}]"]}}]', {"row": ["[a]}]"], "gone": False}),
        ('{"row":{"columns":[1],"tombstone":true}},', {"row": ["1"], "gone": True}),
        ('{"finalMessage":"Limit Reached"}]', {"said": "Limit Reached"}),
        ("", None),
        ("]", None),
        ("[", None),
    ],
)  # fmt: skip
def test_lines_of_a_query(line: str, event: dict[str, Any] | None) -> None:
    assert row_event(line, SELECT) == event


def test_lines_of_a_print_are_text() -> None:
    assert row_event("Key format: KAFKA_STRING", PRINT) == {"text": "Key format: KAFKA_STRING", "is_row": False}
    assert row_event("rowtime: 1, key: [", PRINT) == {"text": "rowtime: 1, key: [", "is_row": True}
    assert row_event("", PRINT) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"errorMessage":{"@type":"generic_error","error_code":50000,"message":"line 2:5: no"}}]',
        '{"@type":"generic_error","error_code":50000,"message":"line 2:5: no"}]',
    ],
)
def test_an_error_in_the_rows_is_a_refusal(line: str) -> None:
    with pytest.raises(SqlRefused, match="no") as refused:
        row_event(line, SELECT)
    assert (refused.value.line, refused.value.column) == (2, 5)


def test_lists_descriptions_and_commands() -> None:
    queries = {
        "@type": "queries",
        "queries": [{"id": "Q", "queryType": "PERSISTENT", "state": "RUNNING", "sinks": ["A", "B"]}],
    }
    [block] = blocks_of(queries, SELECT)
    assert block.columns[0] == "id" and block.rows[0][:4] == ["Q", "PERSISTENT", "RUNNING", "A, B"]
    source = {"name": "S", "type": "STREAM", "topic": "s", "fields": [{"name": "A", "schema": {"type": "STRING"}, "type": "KEY"}],
              "statement": "CREATE ...", "readQueries": [{"id": "Q", "state": "RUNNING"}]}  # fmt: skip
    columns, made, read = blocks_of({"sourceDescription": source}, SELECT)
    assert (
        columns.rows == [["A", "STRING", "KEY"]]
        and made.text == "CREATE ..."
        and read.rows == [["reads it", "Q", "RUNNING"]]
    )
    titles = [
        b.title for b in blocks_of({"queryDescription": {"id": "Q", "executionPlan": "p", "topology": "t"}}, SELECT)
    ]
    assert titles == ["Query", "Execution plan", "Topology"]
    [done] = blocks_of({"commandStatus": {"status": "SUCCESS", "message": "Stream created"}}, SELECT)
    assert done.text == "Stream created"
    with pytest.raises(SqlRefused, match="broken"):
        blocks_of({"commandStatus": {"status": "ERROR", "message": "broken"}}, SELECT)
    [unknown] = blocks_of({"@type": "new_thing", "statementText": "x", "value": 1}, SELECT)
    assert unknown.title == "new_thing" and '"value": 1' in unknown.text


def test_types_read_as_sql() -> None:
    decimal = {"type": "DECIMAL", "parameters": {"precision": 19, "scale": 4}}
    struct = {"type": "STRUCT", "fields": [{"name": "A", "schema": {"type": "ARRAY", "memberSchema": decimal}}]}
    assert type_name({"type": "MAP", "memberSchema": struct}) == "MAP<STRING, STRUCT<A ARRAY<DECIMAL(19, 4)>>>"


def recorded(path: str, status: int) -> list[tuple[str, str]]:
    """What ksqlDB 0.29 answered at a path: the name of each request, and the body."""
    folder = PROJECT_ROOT / "tests" / "recordings"
    found = [case for name in ("rest", "cli") for case in json.loads((folder / f"{name}.json").read_text("utf-8"))]
    return [
        (case["name"], case["response"]["body"])
        for case in found
        if case["request"]["path"] == path and case["response"]["status"] == status
    ]


def test_answers_of_ksqldb_are_tables_and_texts() -> None:
    answers = recorded("/ksql", 200)
    assert len(answers) > 50
    as_json = set()
    for name, body in answers:
        for entity in json.loads(body):
            try:
                blocks = blocks_of(entity, SELECT)
            except SqlRefused:
                assert entity["commandStatus"]["status"] == "ERROR"
                continue
            assert all(len(row) == len(block.columns) for block in blocks for row in block.rows), name
            as_json |= {entity["@type"] for block in blocks if block.text.startswith("{")}
    assert as_json <= {"assert_topic", "assert_schema", "variables"}, "these have no table of their own"


def test_rows_of_ksqldb_are_read() -> None:
    for name, body in recorded("/query", 200):
        part = PRINT if body.startswith("Key format") else SELECT
        events = [event for line in body.split("\n") if (event := row_event(line, part))]
        if part is PRINT:
            assert [event["is_row"] for event in events][:3] == [False, False, True], name
            continue
        columns, *rest = events
        assert all(len(event["row"]) == len(columns["columns"]) for event in rest if "row" in event), name
        assert body.count('"row"') == sum("row" in event for event in rest), name


def test_refusals_of_ksqldb_have_their_place() -> None:
    places = {body: refusal(json.loads(body)["message"], SELECT) for _, body in recorded("/ksql", 400)}
    assert len(places) > 20
    for body, found in places.items():
        named = "ine" in body and ("ol:" in body or "line 1:" in body)
        assert ((found.line, found.column) != (SELECT.line, SELECT.column)) == named, body
