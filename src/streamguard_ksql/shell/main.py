"""The `ksql` command: what its arguments mean, and its exit codes.

0: all went well. 1: a statement failed, or the server cannot be reached; with a message on stderr. 2: wrong
arguments. 130: ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamguard_ksql.shell.client import Client, ShellError, login_of, normal_url
from streamguard_ksql.shell.commands import run_own
from streamguard_ksql.shell.session import JSON, TABULAR, Leave, Session
from streamguard_ksql.visible import OutputError, allow_any_character, discard_output, print_line, visible

DEFAULT_URL = "http://127.0.0.1:8088"
URL_VARIABLE = "KSQLDB_URL"
CA_FILE, CA_TYPE = "ssl.truststore.location", "ssl.truststore.type"
INTERRUPTED = 130


@dataclass(frozen=True)
class Default:
    """The server where none is named, and the login and authorities that are meant for it alone."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def main(arguments: Sequence[str] | None = None, default: Default | None = None) -> int:
    """Run the shell; its exit code. Without a `default` server it is that of KSQLDB_URL."""
    allow_any_character()
    given = _parser().parse_args(arguments)
    session: Session | None = None
    try:
        session = new_session(given, default or Default(os.environ.get(URL_VARIABLE) or DEFAULT_URL))
        _work(session, given)
    except Leave:
        return 0
    except ShellError as error:
        print(visible(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return 1
    finally:
        if session is not None:
            session.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ksql", description="A shell for ksqlDB and for the embedded SQL engine.")
    parser.add_argument(
        "url", nargs="?", metavar="URL", help=f"the server (default: {URL_VARIABLE}, else {DEFAULT_URL})"
    )
    parser.add_argument("-e", "--execute", metavar="SQL", action="append", help="run these statements and leave")
    parser.add_argument("-f", "--file", metavar="FILE", help="run the statements of a file and leave")
    parser.add_argument("--output", metavar="FORMAT", default=TABULAR, help=f"{JSON} or {TABULAR} (default)")
    parser.add_argument("-d", "--define", metavar="VAR=VALUE", action="append", default=[], help="define a variable")
    parser.add_argument("--config-file", metavar="FILE", help="properties to set, a NAME=VALUE per line")
    parser.add_argument("-u", "--user", metavar="NAME", help="the user name, where the server asks for one")
    parser.add_argument(
        "-p",
        "--password",
        metavar="PASSWORD",
        help="the password; others see it in the list of processes: asked for if left out",
    )
    parser.add_argument("--query-row-limit", metavar="N", type=_positive, help="end each query after so many rows")
    parser.add_argument("--query-timeout", metavar="MS", type=_positive, help="end each query after so long")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def new_session(given: argparse.Namespace, default: Default) -> Session:
    """The session that the arguments ask for; ShellError for arguments that cannot be."""
    output = given.output.upper()
    if output not in (JSON, TABULAR):
        raise ShellError(f"Invalid output format: '{given.output}' (valid formats: '{JSON}', '{TABULAR}')")
    properties = {} if given.config_file is None else read_properties(Path(given.config_file))
    return Session(
        _client(given, default, properties),
        out=_print,
        width=_terminal_width,
        run_own=run_own,
        output=output,
        properties=properties,
        variables=dict(_variable(pair) for pair in given.define),
        row_limit=given.query_row_limit,
        query_timeout_s=None if given.query_timeout is None else given.query_timeout / 1000,
    )


def _client(given: argparse.Namespace, default: Default, properties: dict[str, str]) -> Client:
    """The connection; takes out of the properties what is meant for it."""
    ca_file, kind = properties.pop(CA_FILE, None), properties.pop(CA_TYPE, "PEM")
    properties.pop("ssl.truststore.password", None)
    if ca_file is not None and (kind.upper() != "PEM" or ca_file.endswith((".jks", ".p12"))):
        raise ShellError(f"{CA_FILE} is {ca_file}: a PEM file is expected, Java's key stores are not read.")
    url = given.url or default.url
    if normal_url(url) != normal_url(default.url):
        default = Default(url)
    ca_file = ca_file or default.ca_file
    user, password = login_of(url)
    if user is None:
        user, password = default.user, default.password
    if given.user and given.user != user:
        user, password = given.user, None
    password = given.password or password
    if user and not password:
        password = _asked_password(user)
    return Client(normal_url(url), user, password, ca_file)


def _asked_password(user: str) -> str:
    """The password from the terminal, as ksqlDB's shell asks for it. ShellError where there is no terminal."""
    if not sys.stdin.isatty():
        raise ShellError(f"The password of {user} is missing: -p gives it, a terminal is asked for it.")
    return getpass.getpass(f"Enter password for {user}: ")


def _work(session: Session, given: argparse.Namespace) -> None:
    if given.execute or given.file:
        for text in given.execute or ():
            session.run_script(text if text.rstrip().endswith(";") else f"{text};")
        if given.file:
            session.run_file(given.file)
    elif sys.stdin.isatty():
        from streamguard_ksql.shell.interactive import interact

        interact(session)
    else:
        session.run_script(sys.stdin.read())


def _print(line: str) -> None:
    try:
        print_line(visible(line))
    except OutputError as error:
        raise ShellError(str(error)) from None


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def _variable(pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not separator or not name.strip().isidentifier():
        raise ShellError(f"--define {pair!r} is not of the form name=value.")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == "'":
        value = value[1:-1].replace("''", "'")
    return name.strip(), value


def read_properties(path: Path) -> dict[str, str]:
    """A Java properties file, as far as settings need it: NAME=VALUE lines, comments with # or !."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ShellError(f"Cannot read {path}: {reason}.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        name, separator, value = line.partition("=" if "=" in line else ":")
        if not separator:
            raise ShellError(f"{path}, line {number}: {line!r} is not of the form NAME=VALUE.")
        found[name.strip()] = value.strip()
    return found


__all__ = ["main"]
