"""The state of a shell, and where each statement of a script goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from streamguard_ksql.parser import split_statements
from streamguard_ksql.shell.client import Client, ServerError, ShellError, Unreachable
from streamguard_ksql.shell.queries import show_lines, show_rows
from streamguard_ksql.shell.render import render, to_json
from streamguard_ksql.variables import substitute
from streamguard_ksql.visible import visible

TABULAR, JSON = "TABULAR", "JSON"
_FIRST_WORD = re.compile(r"\s*([A-Za-z_]+)")
MAX_SCRIPT_DEPTH = 16


class Leave(Exception):
    """The person leaves the shell."""


class StatementFailed(ShellError):
    """A statement of a script that failed, with its place."""

    def __init__(self, error: ShellError, statement: str, line: int, script: str | None) -> None:
        place = f"line {line}" if script is None else f"{script}, line {line}"
        super().__init__(f"{place}: {one_line(statement)}\n{error}")


def one_line(statement: str, length: int = 120) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= length else text[: length - 3] + "..."


@dataclass
class Session:
    """A shell's connection, properties (SET), variables (DEFINE), way of output, and spool file."""

    client: Client
    out: Callable[[str], None]
    width: Callable[[], int | None]
    """The terminal's width; None where the output is no terminal, and lists may be as wide as they like."""
    run_own: Callable[[Session, str], bool]
    """Runs a statement that is one of the shell's own commands; whether it was."""

    output: str = TABULAR
    properties: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    row_limit: int | None = None
    query_timeout_s: float | None = None
    history: list[str] = field(default_factory=list)
    interactive: bool = False
    spool: TextIO | None = None
    schema_changed: bool = False
    """Whether streams or tables may have come or gone since the completion last looked."""

    _depth: int = 0

    def write(self, line: str) -> None:
        """A line of output, to the person and to the spool file, without control characters."""
        line = visible(line)
        self.out(line)
        if self.spool is not None:
            self.spool.write(line + "\n")

    def note(self, line: str) -> None:
        """A message on what the shell did; left out where the output is for a program to read."""
        if self.output == TABULAR:
            self.write(line)

    def close(self) -> None:
        self.stop_spool()
        self.client.close()

    def stop_spool(self) -> None:
        spool, self.spool = self.spool, None
        if spool is not None:
            spool.close()

    # --- scripts ------------------------------------------------------------------------------------------------------

    def run_script(self, text: str, script: str | None = None) -> None:
        """Run the statements of a text in order; StatementFailed for the first that fails, which ends the run."""
        if self._depth >= MAX_SCRIPT_DEPTH:
            raise ShellError("Scripts that run scripts are nested too deeply: does one of them run itself?")
        self._depth += 1
        try:
            for statement, location in split_statements(text):
                try:
                    self.run_statement(statement, location.line, location.column)
                except (StatementFailed, Unreachable):
                    raise
                except ShellError as error:
                    raise StatementFailed(error, statement, location.line, script) from None
        finally:
            self._depth -= 1

    def run_file(self, path: str) -> None:
        """Run a script file; ShellError if it cannot be read."""
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ShellError(f"Cannot read the script {path}: {reason}.") from None
        self.run_script(text, path)

    # --- statements ---------------------------------------------------------------------------------------------------

    def run_statement(self, statement: str, line: int = 1, column: int = 1) -> None:
        """Run one statement, by the shell itself or by the server. `line` and `column` are its place."""
        substituted = substitute(statement, self.variables)
        if self.run_own(self, substituted):
            return
        word = first_word(substituted)
        # Moved to its place in the script, so that lines and columns in the server's messages are those of the script.
        place = "\n" * (line - 1) + " " * (column - 1)
        # ksqlDB's server puts variables into statements, but not into queries and PRINT.
        if word == "SELECT":
            self._select(place + substituted)
        elif word == "PRINT":
            self._print(place + substituted)
        else:
            self._execute(place + statement)

    def _execute(self, text: str) -> None:
        try:
            entities = self.client.execute(text, self.properties, self.variables)
        except ServerError as error:
            for entity in error.entities:
                self.show(entity)
            raise
        self.schema_changed = True
        for entity in entities:
            self.show(entity)

    def show(self, entity: dict[str, object]) -> None:
        lines = to_json(entity) if self.output == JSON else render(entity, self.width())
        for line in lines:
            self.write(line)

    def _select(self, text: str) -> None:
        lines = self.client.query(text, self.properties, {}, self.query_timeout_s)
        try:
            show_rows(
                lines,
                self.write,
                self.width(),
                as_json=self.output == JSON,
                limit=self.row_limit,
                timeout_s=self.query_timeout_s,
            )
        except KeyboardInterrupt:
            self._interrupted()
            return
        finally:
            lines.close()
        if self.output == TABULAR:
            self.write("Query terminated")

    def _print(self, text: str) -> None:
        lines = self.client.query(text, self.properties, {}, self.query_timeout_s)
        try:
            show_lines(lines, self.write, self.row_limit)
        except KeyboardInterrupt:
            self._interrupted()
        finally:
            lines.close()

    def _interrupted(self) -> None:
        """Ctrl-C ended a query: a person goes on, a script ends."""
        if not self.interactive:
            raise KeyboardInterrupt
        self.write("Query terminated")


def first_word(statement: str) -> str:
    match = _FIRST_WORD.match(statement)
    return match[1].upper() if match else ""
