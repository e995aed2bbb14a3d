"""The shell's own commands: each one a pattern, a line of help and a function; being registered is being there.

Source: docs/operate-and-deploy/installation/cli-config.md of the manual, and what its shell's HELP lists.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.server.properties import check_name
from streamguard_ksql.shell.client import Client, ServerError, ShellError
from streamguard_ksql.shell.session import JSON, TABULAR, Leave, Session

Run = Callable[[Session, "re.Match[str]"], None]


@dataclass(frozen=True)
class Command:
    """A command of the shell. `usage` and `help` are its lines in HELP."""

    usage: str
    help: str
    pattern: re.Pattern[str]
    run: Run


COMMANDS: list[Command] = []
_TEXT = r"'((?:[^']|'')*)'"


def command(usage: str, pattern: str, help: str) -> Callable[[Run], Run]:
    """Register a command; the pattern is matched against the whole statement, in any case, its semicolon optional."""

    def register(run: Run) -> Run:
        compiled = re.compile(rf"\s*{pattern}\s*;?\s*", re.IGNORECASE | re.DOTALL)
        COMMANDS.append(Command(usage, help, compiled, run))
        return run

    return register


def find_command(statement: str) -> tuple[Command, re.Match[str]] | None:
    """The command that a statement is, if it is one of the shell's own."""
    for known in COMMANDS:
        match = known.pattern.fullmatch(statement)
        if match:
            return known, match
    return None


def run_own(session: Session, statement: str) -> bool:
    """Run a statement that is one of the shell's own commands; whether it was."""
    found = find_command(statement)
    if found is not None:
        command, match = found
        command.run(session, match)
    return found is not None


def _unquoted(text: str) -> str:
    return text.replace("''", "'")


# --- the session ------------------------------------------------------------------------------------------------------


@command("SET 'property'='value';", rf"SET\s+{_TEXT}\s*=\s*{_TEXT}", "Set a property for this session.")
def _set(session: Session, match: re.Match[str]) -> None:
    name, value = _unquoted(match[1]), _unquoted(match[2])
    try:
        check_name(name)
    except KsqlError as error:
        raise ShellError(error.message) from None
    session.client.check_property(name)
    before = session.properties.get(name)
    session.properties[name] = value
    changed = "" if before is None else f" from '{before}'"
    session.note(
        f"Successfully changed local property '{name}'{changed} to '{value}'. "
        "Use the UNSET command to revert your change."
    )


@command("UNSET 'property';", rf"UNSET\s+{_TEXT}", "Go back to the server's value of a property.")
def _unset(session: Session, match: re.Match[str]) -> None:
    name = _unquoted(match[1])
    if name not in session.properties:
        raise ShellError(f"Cannot unset local property '{name}' which was never set in the first place.")
    value = session.properties.pop(name)
    session.note(f"Successfully unset local property '{name}' (value was '{value}').")


@command("DEFINE name = 'value';", rf"DEFINE\s+([A-Za-z_]\w*)\s*=\s*{_TEXT}", "Define a variable, used as ${name}.")
def _define(session: Session, match: re.Match[str]) -> None:
    _forget(session, match[1])
    session.variables[match[1]] = _unquoted(match[2])


@command("UNDEFINE name;", r"UNDEFINE\s+([A-Za-z_]\w*)", "Forget a variable.")
def _undefine(session: Session, match: re.Match[str]) -> None:
    if not _forget(session, match[1]):
        session.note(f"Cannot undefine variable '{match[1]}' which was never defined.")


def _forget(session: Session, name: str) -> bool:
    """Remove a variable, whose name may be in any case."""
    known = [v for v in session.variables if v.lower() == name.lower()]
    for variable in known:
        del session.variables[variable]
    return bool(known)


@command("SHOW VARIABLES;", r"(?:SHOW|LIST)\s+VARIABLES", "List the variables of this session.")
def _show_variables(session: Session, match: re.Match[str]) -> None:
    rows = [{"name": name, "value": value} for name, value in sorted(session.variables.items())]
    session.show({"@type": "variables", "statementText": match[0].strip(), "variables": rows, "warnings": []})


# --- scripts and output -----------------------------------------------------------------------------------------------


@command("RUN SCRIPT 'file';", rf"RUN\s+SCRIPT\s+{_TEXT}", "Run the statements of a file.")
def _run_script(session: Session, match: re.Match[str]) -> None:
    session.run_file(_unquoted(match[1]))


@command(
    "SPOOL 'file';  SPOOL OFF;", rf"SPOOL\s+(?:(OFF)|{_TEXT})", "Write all output also to a file, until SPOOL OFF."
)
def _spool(session: Session, match: re.Match[str]) -> None:
    session.stop_spool()
    if match[1]:
        session.write("Spool turned off.")
        return
    path = Path(_unquoted(match[2])).expanduser()
    try:
        session.spool = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ShellError(f"Cannot write to {path}: {error.strerror}.") from None
    session.out(f"Session will be spooled to {path.absolute()}")


@command("output [JSON|TABULAR]", r"output(?:\s+'?(\w+)'?)?", "Show or change how answers are shown.")
def _output(session: Session, match: re.Match[str]) -> None:
    if match[1] is None:
        session.write(f"Current output format: {session.output}")
        return
    wanted = match[1].upper()
    if wanted not in (JSON, TABULAR):
        raise ShellError(f"Invalid output format: '{match[1]}' (valid formats: '{JSON}', '{TABULAR}')")
    session.output = wanted
    session.note(f"Output format set to {wanted}")


# --- the shell --------------------------------------------------------------------------------------------------------


@command("help", r"(?:help|\?)", "Show this list.")
def _help(session: Session, match: re.Match[str]) -> None:
    session.write("Statements end in a semicolon and may go over several lines; they are sent to the server.")
    session.write("The shell's own commands:")
    width = max(len(c.usage) for c in COMMANDS)
    for known in COMMANDS:
        session.write(f"  {known.usage:<{width}}  {known.help}")
    session.write("Ctrl-C ends a query that is running; Ctrl-D leaves the shell.")


@command("history", r"history", "List what was typed.")
def _history(session: Session, match: re.Match[str]) -> None:
    for number, line in enumerate(session.history, start=1):
        session.write(f"{number:5}  {line}")


@command("version", r"version", "Show the versions of shell and server.")
def _version(session: Session, match: re.Match[str]) -> None:
    info = session.client.info()
    session.write(
        f"Server: {session.client.url}, ksqlDB API {info.get('version')}, {info.get('serverStatus', 'UNKNOWN')}"
    )
    session.write(f"Kafka cluster {info.get('kafkaClusterId')}, service {info.get('ksqlServiceId')}")


@command("server [URL]", r"server(?:\s+'?([^\s';]+)'?)?", "Show the server, or go to another.")
def _server(session: Session, match: re.Match[str]) -> None:
    if match[1] is None:
        session.write(session.client.url)
        return
    other = Client(match[1], session.client.user, session.client.password, session.client.ca_file)
    try:
        other.info()
    except (ShellError, ServerError):
        other.close()
        raise
    session.client.close()
    session.client = other
    session.properties.clear()
    session.schema_changed = True
    session.write(f"Server now: {other.url}")


@command("clear", r"clear", "Clear the screen.")
def _clear(session: Session, match: re.Match[str]) -> None:
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[2J\x1b[H")
        sys.stdout.flush()


@command("exit", r"(?:exit|quit)", "Leave (also: quit, Ctrl-D).")
def _exit(session: Session, match: re.Match[str]) -> None:
    raise Leave
