"""The shell at a terminal: a pseudo-terminal types, and reads what is drawn."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from streamguard_ksql.shell.client import Client
from streamguard_ksql.shell.commands import run_own
from streamguard_ksql.shell.completion import ShellCompleter
from streamguard_ksql.shell.interactive import history_path, is_complete, run_input
from streamguard_ksql.shell.session import Leave, Session
from tests.streamguard_ksql.shell.conftest import CODE, shell_environment
from tests.support.ksqldb import KsqlServerProcess

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][A-Z0-9]?|\r|\x07")


class Terminal:
    """A shell on a pseudo-terminal of 100 columns."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.screen = ""
        controller, terminal = pty.openpty()
        self._controller = controller
        environment = {**environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "100", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def type_until(self, text: str, pattern: str, attempts: int = 15) -> str:
        """Type a key until it is heard: between two prompts the terminal drops what is typed."""
        for _ in range(attempts - 1):
            self.type(text)
            try:
                return self.wait_for(pattern, 1.0)
            except AssertionError:
                continue
        return self.wait_for(pattern, 1.0)

    def interrupt(self) -> None:
        """What the terminal does on Ctrl-C while no prompt has taken the keyboard."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, pattern: str, seconds: float = 15.0) -> str:
        """Read until the screen shows a pattern, and forget what is before its end."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.screen)
            if match:
                self.screen = self.screen[match.end() :]
                return match[0]
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.screen[-2000:]!r}"
            if select.select([self._controller], [], [], 0.1)[0]:
                try:
                    data = os.read(self._controller, 65536)
                except OSError:
                    data = b""
                self.screen += _ESCAPES.sub("", data.decode(errors="replace"))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._controller)


@pytest.fixture
def terminal(ksqldb: KsqlServerProcess, tmp_path: Path) -> Iterator[Terminal]:
    shell = Terminal(shell_environment(ksqldb, tmp_path))
    yield shell
    shell.close()


def test_a_person_at_the_shell(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("ksqlDB API 0.29.0, RUNNING")
    terminal.wait_for("ksql>")
    terminal.type("SHOW" + ENTER + "TABLES;" + ENTER)
    terminal.wait_for(r"Table Name \| Kafka Topic")
    terminal.wait_for("ksql>")
    terminal.type("SELECT nonsense;" + ENTER)
    terminal.wait_for("line 1:1")
    terminal.wait_for("ksql>")
    terminal.type("SELECT id FROM payments EMIT CHANGES;" + ENTER)
    terminal.wait_for(r"\|ID  ")
    terminal.interrupt()
    terminal.wait_for("Query terminated")
    terminal.wait_for("ksql>")
    terminal.type("history" + ENTER)
    terminal.wait_for("1  SHOW TABLES;")
    terminal.wait_for("ksql>")
    terminal.type("SHOW not this" + CTRL_C)
    terminal.type_until(CTRL_D, "Exiting ksqlDB.")
    assert terminal.process.wait(10) == 0
    assert "SHOW" in (tmp_path / "state" / "streamguard" / "ksql_history").read_text()


def new_session(server: KsqlServerProcess) -> tuple[Session, list[str]]:
    lines: list[str] = []
    return Session(Client(server.url), lines.append, lambda: 100, run_own, interactive=True), lines


def test_the_session_of_a_person(ksqldb: KsqlServerProcess) -> None:
    session, lines = new_session(ksqldb)
    for text in (
        "SET 'auto.offset.reset'='earliest';",
        "SET 'auto.offset.reset'='latest';",
        "UNSET 'auto.offset.reset';",
        "DEFINE x='1'; SHOW VARIABLES; UNDEFINE X; UNDEFINE x;",
        "output",
        "output json",
        "version",
        "server",
        f"server {ksqldb.url}",
        "server http://127.0.0.1:1",
        "help",
        "output nonsense",
    ):
        run_input(session, text)
    text = "\n".join(lines)
    for expected in (
        "property 'auto.offset.reset' to 'earliest'",
        "from 'earliest' to 'latest'",
        "Successfully unset local property 'auto.offset.reset' (value was 'latest').",
        " x             | 1",
        "Cannot undefine variable 'x' which was never defined.",
        "Current output format: TABULAR",
        "ksqlDB API 0.29.0, RUNNING",
        f"Server now: {ksqldb.url}",
        "No ksqlDB server answers at http://127.0.0.1:1",
        "RUN SCRIPT 'file';",
        "Invalid output format: 'nonsense'",
    ):
        assert expected in text
    for leave in ("exit", "QUIT;"):
        with pytest.raises(Leave):
            run_input(session, leave)
    session.close()


def test_completion_knows_keywords_sources_and_functions(ksqldb: KsqlServerProcess) -> None:
    session, _ = new_session(ksqldb)
    completer = ShellCompleter(session)

    def offered(text: str) -> list[str]:
        return [c.text for c in completer.get_completions(Document(text), CompleteEvent())]

    assert offered("SELECT * FROM pay") == ["payments"]
    assert "LATEST_BY_OFFSET(" in offered("SELECT LATEST_")
    assert offered("SELECT * FROM payments EMIT CHAN") == ["CHANGES"]
    assert offered("SELECT ") == []
    session.close()


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("SHOW TOPICS", False),
        ("SHOW TOPICS;", True),
        ("SHOW 'a;b'", False),
        ("exit", True),
        ("output json", True),
        ("SHOW TOPICS; SELECT", False),
        ("-- a comment", True),
        ("/* a comment", False),
    ],
)
def test_when_enter_runs_what_was_typed(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


def test_where_the_history_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert history_path() == Path("/home/x/.streamguard/ksql_history")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert history_path() == Path("/state/streamguard/ksql_history")
