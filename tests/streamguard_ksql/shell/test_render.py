"""Tables, headers and lines: the parts of the shell that need no server."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard_ksql.shell.client import Client, Digits, ShellError, normal_url, parse_line
from streamguard_ksql.shell.commands import run_own
from streamguard_ksql.shell.queries import column_names, show_lines, show_rows
from streamguard_ksql.shell.render import RENDERERS, cell, render
from streamguard_ksql.shell.session import Session
from streamguard_ksql.shell.tables import RowTable, display_width, draw_list, wrap
from tests.support.recordings import recording

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=5), st.integers(30, 200))
def test_a_list_keeps_within_the_terminal_and_loses_nothing(rows: list[list[str]], width: int) -> None:
    headers = ["A", "B", "C"]
    lines = draw_list(headers, rows, width)
    assert all(display_width(line) <= width for line in lines)
    shown = "".join(line.replace(">", "").replace("|", "").replace(" ", "") for line in lines)
    for row in rows:
        for character in "".join(row):
            assert character in shown or character in ">| -"


@given(TEXT, st.integers(2, 30))
def test_a_wrapped_cell_is_the_cell(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(line[:-1] for line in lines[:-1]) + lines[-1] == text
    assert all(display_width(line) <= width for line in lines) or width < 3


@given(st.lists(TEXT, min_size=1, max_size=6), st.integers(50, 200) | st.none())
def test_rows_are_as_wide_as_their_head(values: list[str], width: int | None) -> None:
    table = RowTable([f"C{i}" for i in range(len(values))], width)
    head = table.head()
    assert len({display_width(line) for line in [*head, *table.row(values)]}) == 1
    assert width is None or display_width(head[0]) <= max(width, 7 * len(values) + 1)


SCHEMAS = [
    ("`A` STRING KEY, `B` BIGINT", ["A", "B"]),
    ("`A` STRUCT<`X` INT, `Y` MAP<STRING, DECIMAL(4, 2)>>, `b, c` ARRAY<INT>", ["A", "b, c"]),
    ("A INT, B STRING", ["A", "B"]),
    ("", []),
]


@pytest.mark.parametrize(("schema", "names"), SCHEMAS)
def test_the_names_of_columns(schema: str, names: list[str]) -> None:
    assert column_names(schema) == names


LINES: list[tuple[str, Any]] = [
    ('[{"header":{"queryId":"q"}},', {"header": {"queryId": "q"}}),
    ('{"row":{"columns":["a]",1]}},', {"row": {"columns": ["a]", 1]}}),
    ('{"row":{"columns":[[1]]}}]', {"row": {"columns": [[1]]}}),
    ('{"finalMessage":"Limit Reached"}]', {"finalMessage": "Limit Reached"}),
    ("]", None),
    ("", None),
]


@pytest.mark.parametrize(("line", "value"), LINES)
def test_lines_of_an_answer(line: str, value: Any) -> None:
    parsed = parse_line(line)
    assert (None if parsed is None else parsed[1]) == value


def test_a_line_that_is_no_json_is_told() -> None:
    with pytest.raises(ShellError, match="not JSON"):
        parse_line("<html>")


CELLS: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (Digits("1.10"), "1.10"),
    ({"A": 1, "B": [None, "x"]}, "{A=1, B=[null, x]}"),
]


@pytest.mark.parametrize(("value", "text"), CELLS)
def test_cells(value: Any, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("localhost:8088", "http://localhost:8088"),
        ("https://x/", "https://x"),
        ("http://[::1]:8088", "http://[::1]:8088"),
    ],
)
def test_addresses(url: str, normal: str) -> None:
    assert normal_url(url) == normal


@pytest.mark.parametrize("url", ["", "ftp://x", "http://"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ShellError):
        Client(url)


@pytest.mark.parametrize("name", ["rest.json", "cli.json"])
def test_every_recorded_answer_of_ksqldb_is_rendered(name: str) -> None:
    drawn = set()
    for case in recording(name):
        if case["request"]["path"] != "/ksql" or case["response"]["status"] != 200:
            continue
        for entity in json.loads(case["response"]["body"]):
            assert entity["@type"] in RENDERERS
            lines = render(entity, 100)
            assert lines and not any("\n" in line for line in lines)
            drawn.add(entity["@type"])
    assert len(drawn) > 12


def test_an_unknown_entity_is_shown_as_json_with_its_warnings() -> None:
    lines = render({"@type": "of the future", "n": Digits("1.5"), "warnings": [{"message": "careful"}]}, None)
    assert lines[-1] == "WARNING: careful"
    assert '"n": 1.5,' in "".join(lines)


ANY_TEXT = st.text(st.characters(), max_size=40)


def session(out: list[str]) -> Session:
    return Session(Client("127.0.0.1:1"), out=out.append, width=lambda: 80, run_own=run_own)


def is_plain(text: str) -> bool:
    """Whether a terminal would act on nothing in the text, and all of it can be seen."""
    return all(c.isprintable() or unicodedata.category(c) == "Zs" for c in text)


def answer(values: list[str]) -> Iterator[str]:
    """What a server sends for rows of one column: ksqlDB escapes in JSON what JSON has to escape, and no more."""
    yield json.dumps([{"header": {"queryId": "q", "schema": "`A` STRING"}}], ensure_ascii=False).removesuffix("]") + ","
    for value in values:
        yield json.dumps({"row": {"columns": [value]}}, ensure_ascii=False) + ","
    yield "]"


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_what_a_row_has_in_it_cannot_act_on_the_terminal_nor_look_like_another_row(values: list[str]) -> None:
    out: list[str] = []
    with io.StringIO() as spool:
        shell = session(out)
        shell.spool = spool
        show_rows(answer(values), shell.write, None, as_json=False)
        spooled = spool.getvalue()
    assert spooled == "".join(f"{line}\n" for line in out)
    assert all(map(is_plain, out))
    assert all(line[0] == line[-1] == "|" for line in out[3:])


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_json_output_is_the_same_json_and_cannot_act_on_the_terminal(values: list[str]) -> None:
    out: list[str] = []
    show_rows(answer(values), session(out).write, None, as_json=True)
    assert all(map(is_plain, out))
    assert [json.loads(line)["row"]["columns"][0] for line in out[1:]] == values


@example(["\n"], "TABULAR")
@given(st.lists(ANY_TEXT, min_size=1, max_size=4), st.sampled_from(["TABULAR", "JSON"]))
def test_a_printed_record_and_an_answer_cannot_act_on_the_terminal(values: list[str], output: str) -> None:
    out: list[str] = []
    shell = session(out)
    shell.output = output
    show_lines(values, shell.write)
    shell.show({"@type": "warning_entity", "message": values[0], "warnings": [{"message": values[-1]}]})
    assert all(is_plain(line.replace("\t", "")) for line in out)
