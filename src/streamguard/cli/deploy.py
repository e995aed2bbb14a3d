"""`streamguard deploy [FILES]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shared import DatabaseUnavailable, NoTables, database, new_app
from streamguard.config import get_settings
from streamguard.config.resources import source_files, sql_file
from streamguard.kafka.clients import kafka_errors
from streamguard.kafka.topics import ensure_topics
from streamguard.rules.catalogue import sql_files
from streamguard.rules.modes import modes_of
from streamguard.sqldeploy import DeployError, follow, insert_first_values, off_queries, topics_of, variables_of
from streamguard.sqldeploy import deploy as run
from streamguard.sqldeploy.state import Server

app = new_app("Send SQL files to the ksqlDB server, as often as you like.")


@app.command()
def deploy(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="SQL files; if none, all of ksqldb/rules.yaml and ksqldb/sources. The package has what is not here."
        ),
    ] = None,
    define: Annotated[
        list[str] | None,
        typer.Option("--define", metavar="NAME=VALUE", help="A value in the place of the one that the file DEFINEs."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what differs, and what reads from it.")] = False,
) -> None:
    """Say per statement whether it is unchanged, new or different; send what is new. Exits 1 if something differs."""
    settings = get_settings()
    paths = [sql_file(file) for file in files] if files else [*sql_files(), *source_files()]
    given = variables_of(settings) | definitions(define or [])
    with kafka_errors():
        ensure_topics(settings, extra=topics_of(paths))
    server = Server(settings.ksqldb_url)
    modes = _modes()
    outcomes = run(
        *(server, paths),
        given=given,
        replace=replace,
        off=off_queries(modes),
        tell=lambda outcome: print(outcome, flush=True),
    )
    for file in insert_first_values(server, settings, paths):
        print(f"values     {file}")
    for statement in follow(server, modes):
        print(f"{statement} as the mode of its rule says")
    different = [outcome.item for outcome in outcomes if outcome.status == "different"]
    if different:
        names = ", ".join(item.name for item in different)
        typer.echo(f"{names}: another version runs and was left as it is; --replace replaces it.", err=True)
        raise typer.Exit(1)


def _modes() -> dict[str, str]:
    """The modes of rules. SQL can be deployed without a database, which is then said."""
    try:
        with database() as connection:
            return modes_of(connection)
    except NoTables:
        return {}
    except DatabaseUnavailable as error:
        typer.echo(
            f"the modes of rules are not known, a rule that is off may run: {error}; deploy again then", err=True
        )
        return {}


def definitions(options: list[str]) -> dict[str, str]:
    """`NAME=VALUE` as names in lower case to values; raises DeployError."""
    found = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name.isidentifier() or not equals:
            raise DeployError(f"--define {option}: NAME=VALUE is expected")
        found[name.lower()] = value
    return found
