"""A line of a log for each event, the same fields in every process, as text or as JSON, and nothing harmful in either."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import streamguard_broker.logs
import streamguard_ksql.server.logs
from streamguard.cli.stack import logs_app
from streamguard.config import get_settings
from streamguard.config.logs import CORRELATION, JsonFormatter, readable
from streamguard.stack.logs import last_log_line
from tests.streamguard.config.test_visible import ANY_TEXT, harmful

FORMATTERS = {
    "consumer": JsonFormatter("consumer"),
    "broker": streamguard_broker.logs.JsonLines(),
    "ksqldb": streamguard_ksql.server.logs.JsonLines(),
}
TEXT = {
    "broker": streamguard_broker.logs.TextLines("%(message)s"),
    "ksqldb": streamguard_ksql.server.logs.OneLine("%(message)s"),
}


def event(message: str, *values: object, **about: object) -> logging.LogRecord:
    record = logging.LogRecord("some.logger", logging.WARNING, "", 0, message, values, None)
    record.__dict__.update(about)
    return record


@pytest.mark.parametrize("process", FORMATTERS)
def test_every_process_writes_the_same_fields(process: str) -> None:
    line = FORMATTERS[process].format(event("%d of %s", 3, "x"))
    found = json.loads(line)
    assert list(found) == ["time", "level", "process", "logger", "message"]
    assert (found["level"], found["process"], found["logger"], found["message"]) == (
        "WARNING",
        process,
        "some.logger",
        "3 of x",
    )
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None and found["time"].endswith("Z")


def test_what_a_line_is_about_has_fields_of_its_own() -> None:
    about = {"transaction_id": "t1", "alert_id": "R:t1", "topic": "transactions", "partition": 0, "offset": 7}
    found = json.loads(FORMATTERS["consumer"].format(event("stored", **about)))
    assert {name: found[name] for name in CORRELATION} == about
    line = FORMATTERS["consumer"].format(event("stored", topic="t", partition=0))
    assert readable(line).endswith("Z WARNING stored [topic=t partition=0]")


@pytest.mark.parametrize("process", FORMATTERS)
def test_an_exception_is_a_field_of_the_one_line(process: str) -> None:
    try:
        raise ValueError("first\nsecond \x1b[2J")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = FORMATTERS[process].format(record)
    assert not harmful(line)
    shown = json.loads(line)["exception"]
    assert shown.startswith("Traceback") and shown.endswith("second \x1b[2J")
    assert readable(line).splitlines()[1].startswith("Traceback")


@given(ANY_TEXT)
def test_nothing_harmful_is_in_any_line(text: str) -> None:
    for formatter in FORMATTERS.values():
        line = formatter.format(event("the name %s is wrong", text))
        assert not harmful(line) and json.loads(line)["message"].startswith("the name ")
    for formatter in TEXT.values():
        assert not harmful(formatter.format(event("the name %s is wrong", text)))


@given(st.one_of(ANY_TEXT, st.sampled_from(["{", "{}", '{"time": 1}', "[1]", "{nonsense"])))
def test_lines_of_others_are_shown_as_they_are(line: str) -> None:
    assert readable(line) == line


PROGRAM = """
import logging, warnings
from streamguard.config import get_settings
from streamguard.config.logs import configure_logging
configure_logging("desk", get_settings())
logging.getLogger("streamguard.desk").debug("a detail")
logging.getLogger("other").debug("of others")
logging.getLogger("streamguard.desk").info("up\\x1b")
warnings.warn("old")
raise ValueError("the end")
"""


def run(folder: Path, **settings: str) -> list[str]:
    """What a process with these settings writes to stderr."""
    environment = {**os.environ, **{f"STREAMGUARD_LOG_{name.upper()}": value for name, value in settings.items()}}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stderr.splitlines()


def test_settings_choose_format_and_level(tmp_path: Path) -> None:
    detail, up, warning, end = map(json.loads, run(tmp_path, format="json", level="DEBUG"))
    assert (detail["level"], detail["process"], detail["message"]) == ("DEBUG", "desk", "a detail")
    assert up["message"] == "up\\u001b" and warning["logger"] == "py.warnings"
    assert end["level"] == "CRITICAL" and "ValueError: the end" in end["exception"]
    assert json.loads(run(tmp_path, format="json")[0])["message"] == up["message"]


def test_text_is_as_it_was(tmp_path: Path) -> None:
    first, *_, last = run(tmp_path)
    assert first.endswith(" INFO up\\u001b") and last == "ValueError: the end"


def test_logs_are_read_in_both_formats(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = FORMATTERS["consumer"].format(event("stored", alert_id="R:t1"))
    (folder / "consumer.log").write_text(f"2026-01-01 00:00:00,000 INFO in text\n{line}\n")
    get_settings.cache_clear()
    said = CliRunner().invoke(logs_app, ["consumer"], env={"STREAMGUARD_STATE_DIR": str(tmp_path)}).stdout
    first, second = said.splitlines()
    assert first.endswith("INFO in text") and second.endswith("WARNING stored [alert_id=R:t1]")
    assert last_log_line(folder, "consumer").startswith(second)
