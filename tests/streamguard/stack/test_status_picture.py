"""The picture of `status`: it fits its screen, names problems first, and its JSON is the one that is documented."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Iterator

import pytest

from streamguard.stack.status import model
from streamguard.stack.status.show import lines, paint
from streamguard.stack.status.units import age, bytes_
from tests.support import pages

BUSY = model.Status(
    format=model.FORMAT,
    taken_at="2026-11-30T05:49:43+00:00",
    state=model.PROBLEMS,
    parts=[
        model.PartFigures("broker", "running", "here", "127.0.0.1:9092", 12_345, 98_765, 3_000_000_000),
        model.PartFigures("desk", "fatal", "here", f"https://desk.{'long.' * 12}example.org:8501"),
        model.PartFigures("postgres", "unavailable", "DATABASE_URL", "db.example.org:5432"),
    ],
    queries=[
        model.QueryFigures("HIGH_AMOUNT", "running", 123_456_789),
        *(model.QueryFigures(f"CTAS_ACCOUNT_AMOUNTS_{n}", "running", n) for n in range(1, 9)),
        model.QueryFigures("VELOCITY", "error", None),
    ],
    rules=[model.RuleFigures("HIGH_AMOUNT", "sql", "active"), model.RuleFigures("night", "python", "shadow")],
    topics=[model.TopicFigures("transactions", 3, 1_234_567_890, 9_876_543_210, 1_234_567, 123_456_789)],
    rates=model.Rates(61.0, 12_345.6, 1_234, 5_678, 9),
    stored=model.Stored(1_234_567_890, 1_234_567, 89, 12, 345, 1_234_567_890),
    backlog=model.Backlog(1_234, 1_000_000.0, 12, 34_567, 89.0),
    disk=model.Disk("/srv/streamguard/.streamguard", 12 * 1024**3, 100 * 1024**3),
    findings=[
        model.FoundProblem(
            "A process does not run", True, "desk is fatal: a\x1b[31m word; `streamguard up` " + "x " * 90
        ),
        model.FoundProblem("There are dead letters", False, "dead letters: 345 of transactions"),
    ],
)
SILENT = dataclasses.replace(
    BUSY, parts=[], queries=None, rules=None, topics=None, rates=model.Rates(), stored=None, backlog=None
)


def plain(status: model.Status, width: int | None) -> list[str]:
    return [paint(line, colour=False) for line in lines(status, width)]


@pytest.mark.parametrize("status", [BUSY, SILENT], ids=["busy", "silent"])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_picture_fits_its_screen(status: model.Status, width: int) -> None:
    said = plain(status, width)
    assert [line for line in said if len(line) > width] == []
    assert len(said) <= 40


def test_problems_come_first_and_notes_last_and_in_a_pipe_each_is_one_line() -> None:
    said = plain(BUSY, None)
    assert said[0].startswith("StreamGuard: 1 problem ")
    assert said[1].startswith("PROBLEM: desk is fatal: a\\u001b[31m word; ") and said[1].endswith(" x")
    assert said[-1] == "note: dead letters: 345 of transactions"


def test_colour_is_the_only_control_sequence() -> None:
    said = "\n".join(paint(line, colour=True) for line in lines(BUSY, 80))
    assert set(re.findall(r"\x1b\[([\d;]*)m", said)) == {"0", "1", "32", "1;31", "33", "2"}
    assert "\x1b" not in re.sub(r"\x1b\[[\d;]*m", "", said)


def test_what_is_not_known_is_said() -> None:
    said = "\n".join(plain(SILENT, 80))
    assert "the SQL engine does not answer" in said and "Kafka does not answer" in said
    assert "STORED" not in said and "LAST MINUTE" not in said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (307, "5:07 min"), (11_232, "3:07:12"), (1_047_600, "12 d 3 h")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KiB"), (15 * 1024**2, "15 MiB"), (2**70, "1048576 PiB")]
)
def test_sizes(size: float, text: str) -> None:
    assert bytes_(size) == text


def fields(kind: typing.Any, prefix: str = "") -> Iterator[str]:
    """The paths of a document of this shape, as docs/status.md writes them."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        path, hint = f"{prefix}{field.name}", hints[field.name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        [inner] = [one for one in members if one is not type(None)]
        if type(None) in members and (typing.get_origin(inner) is list or dataclasses.is_dataclass(inner)):
            yield path
        if typing.get_origin(inner) is list:
            yield from fields(typing.get_args(inner)[0], f"{path}[].")
        elif dataclasses.is_dataclass(inner):
            yield from fields(inner, f"{path}.")
        else:
            yield path


def test_the_page_has_each_field_of_the_document_and_no_other() -> None:
    section = pages.read("docs/status.md").split("### As JSON\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w.\[\]]+)`", section, re.MULTILINE) == list(fields(model.Status))


@pytest.mark.parametrize("status", [BUSY, SILENT], ids=["busy", "silent"])
def test_the_document_has_the_fields_in_one_line_or_many(status: model.Status) -> None:
    one = model.as_json(status, indent=False)
    assert "\n" not in one and json.loads(one) == json.loads(model.as_json(status))
    assert json.loads(one) == dataclasses.asdict(status)
