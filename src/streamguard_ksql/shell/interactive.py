"""The shell at a terminal: completion, history, statements over many lines, Ctrl-C that ends a query."""

from __future__ import annotations

import os
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from streamguard_ksql.parser import split_statements
from streamguard_ksql.shell.client import ShellError
from streamguard_ksql.shell.commands import find_command
from streamguard_ksql.shell.completion import ShellCompleter
from streamguard_ksql.shell.session import Leave, Session

PROMPT, CONTINUED = "ksql> ", "    > "


def interact(session: Session) -> None:
    """Read and run statements until the person leaves."""
    session.interactive = True
    _greet(session)
    prompt: PromptSession[str] = PromptSession(
        history=open_history(),
        completer=ShellCompleter(session),
        complete_in_thread=True,
        complete_while_typing=False,
        multiline=True,
        prompt_continuation=CONTINUED,
        key_bindings=_keys(),
    )
    while True:
        try:
            text = prompt.prompt(PROMPT)
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        if not text.strip():
            continue
        session.history.append(" ".join(text.split()))
        try:
            run_input(session, text)
        except Leave:
            break
    session.write("Exiting ksqlDB.")


def run_input(session: Session, text: str) -> None:
    """Run what was typed; errors are shown and the shell goes on. Leave goes to the caller."""
    try:
        for statement, location in split_statements(text):
            session.run_statement(statement, location.line, location.column)
    except ShellError as error:
        session.write(str(error))
    except KeyboardInterrupt:
        session.write("^C")


def is_complete(text: str) -> bool:
    """Whether Enter runs what was typed: it is blank, a command of the shell, or ends in a semicolon."""
    statements = split_statements(text)
    if not statements:
        return not text.strip() or not text.lstrip().startswith("/*")
    last = statements[-1][0]
    return last.endswith(";") or find_command(last) is not None


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


def _greet(session: Session) -> None:
    session.out("ksql shell. Type help for its commands, exit to leave.")
    try:
        info = session.client.info()
        session.out(
            f"Server {session.client.url}: ksqlDB API {info.get('version')}, {info.get('serverStatus', 'UNKNOWN')}"
        )
    except ShellError as error:
        session.out(str(error))


def open_history() -> History:
    """The history kept over sessions; without a place to write, only this session's."""
    try:
        path = history_path()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def history_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) / "streamguard" if state else Path.home() / ".streamguard") / "ksql_history"
