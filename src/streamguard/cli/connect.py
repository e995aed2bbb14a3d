"""`streamguard connect TOPIC`: the SQL that reads the payments of a foreign topic, written and, if asked to, deployed."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from streamguard.cli.shared import new_app, print_line
from streamguard.config import Settings, UserError, get_settings
from streamguard.config.resources import SOURCES, SQL_FOLDER, sql_file
from streamguard.ingest.topics import Answers, Connection, OpenQuestion, UnusableTopic, connection_of, read_sample
from streamguard.ingest.topics.answers import FIELDS
from streamguard.kafka.clients import kafka_errors
from streamguard.kafka.topics import ensure_topics, topic_configs
from streamguard.sqldeploy import DeployError, deploy, topics_of, variables_of
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server

app = new_app("Look at a topic and write the SQL that reads its payments into `transactions`.")


@app.command()
def connect(
    topic: Annotated[str, typer.Argument(help="The topic of your payments.")],
    account: Annotated[
        str | None, typer.Option("--account", metavar="FIELD", help="The field of the account, or: key.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CODE", help="The currency of all amounts, or its field.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=FIELD", help="Where a field comes from: a field, or an expression of SQL."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="AREA/CITY", help="The zone of times that name none; UTC if not given."),
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="Whether 03/04/2025 is in April or in March.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write; ksqldb/sources/TOPIC.sql if not given.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the SQL and write no file.")] = False,
    send: Annotated[bool, typer.Option("--deploy", help="Send it to the ksqlDB server as well.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over a file that was changed, and replace what runs.")
    ] = False,
) -> None:
    """Find out names, types, times and envelope from a thousand records; every guess is a comment in the file."""
    settings = get_settings()
    answers = Answers(_given(account, currency, mapping or []), _checked_zone(zone), day_first)
    if topic in topic_configs(settings):
        raise UnusableTopic(f"{topic} is StreamGuard's own topic: connect the one that your payments are in")
    if show and send:
        raise OpenQuestion("--print writes no file, --deploy sends one: give one of the two")
    path = to or SQL_FOLDER / SOURCES / f"{topic}.sql"
    with kafka_errors():
        sample = read_sample(settings.kafka, topic)
    connection = connection_of(sample, answers, str(path))
    if show:
        print(connection.sql, end="")
        return
    _check(connection, path.name, settings)
    _write(path, connection, replace)
    _summarise(connection, path)
    if send:
        _deploy(settings, path, replace)
    else:
        print_line(f"Read it, then send it: streamguard deploy {path}")


def _given(account: str | None, currency: str | None, mapping: list[str]) -> dict[str, str]:
    """The options as fields of a transaction; raises OpenQuestion for a name that is none."""
    given = {}
    for option in mapping:
        name, equals, value = (part.strip() for part in option.partition("="))
        if name.lower() not in FIELDS or not equals or not value:
            near = get_close_matches(name.lower(), FIELDS, n=1)
            hint = f"; {near[0]} is the nearest name" if near else f"; the names are {', '.join(FIELDS)}"
            raise OpenQuestion(f"--map {option}: NAME=FIELD or NAME=EXPRESSION is expected, such as amount=total{hint}")
        given[name.lower()] = value
    named = {"account_id": account, "currency": currency}
    return given | {name: value for name, value in named.items() if value is not None}


def _checked_zone(zone: str | None) -> str | None:
    try:
        return zone if zone is None else ZoneInfo(zone).key
    except (ValueError, OSError, KeyError):
        raise OpenQuestion(f"--zone {zone}: a time zone is expected, such as America/Sao_Paulo or UTC") from None


def _check(connection: Connection, name: str, settings: Settings) -> None:
    """Raise OpenQuestion for an expression of --map with which a statement cannot be read; no file is written then."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text(connection.sql, encoding="utf-8")
        try:
            read(file, variables_of(settings))
        except DeployError as error:
            reason = str(error).replace(f"{folder}/", "")
            raise OpenQuestion(f"no SQL can be made with these expressions: {reason}; --print shows the line") from None


def _write(path: Path, connection: Connection, replace: bool) -> None:
    """Write the file; raises UserError where it cannot be, or where one is there that does something else."""
    try:
        if path.exists() and not replace:
            if _bare(path.read_text(encoding="utf-8")) != _bare(connection.sql):
                raise OpenQuestion(
                    f"{path} is there already and differs: --replace writes over it, --to FILE writes elsewhere"
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(connection.sql, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the one that is there is no UTF-8"
        raise UserError(f"{path} cannot be written: {reason}") from None


def _bare(sql: str) -> str:
    """Without comments, which count records."""
    return re.sub(r"--.*", "", sql)


def _summarise(connection: Connection, path: Path) -> None:
    print_line(f"{connection.found}.")
    for name, (expression, guess) in connection.columns.items():
        if not expression.startswith("CAST(NULL"):
            print_line(f"  {name:<17} = {expression} -- {guess}")
    missing = [name for name, (expression, _) in connection.columns.items() if expression.startswith("CAST(NULL")]
    if missing:
        print_line(f"  not found: {', '.join(missing)}")
    print_line(f"It is in {path}.")


def _deploy(settings: Settings, path: Path, replace: bool) -> None:
    """Send the file, after `queries.sql` where the server does not have the stream `transactions` yet."""
    server = Server(settings.ksqldb)
    files = [path] if server.definition("TRANSACTIONS") else [sql_file("queries.sql"), path]
    with kafka_errors():
        ensure_topics(settings, extra=topics_of(files))
    outcomes = deploy(server, files, given=variables_of(settings), replace=replace, tell=lambda done: print_line(done))
    different = [outcome.item.name for outcome in outcomes if outcome.status == "different"]
    if different:
        print_line(
            f"{', '.join(different)}: another version runs and was left as it is; --replace replaces it.", err=True
        )
        raise typer.Exit(1)
