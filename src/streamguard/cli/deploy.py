"""`streamguard deploy [FILES]`."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shadow import Start, deploy_shadow
from streamguard.cli.shared import DatabaseUnavailable, NoTables, database, deployment, new_app, print_line
from streamguard.config import Settings, get_settings
from streamguard.config.resources import source_files, sql_file
from streamguard.kafka.clients import kafka_admin, kafka_errors
from streamguard.kafka.topics import ensure_topics
from streamguard.rules.catalogue import sql_files
from streamguard.rules.modes import modes_of
from streamguard.rules.replacements import NOW
from streamguard.sqldeploy import (
    DeployError,
    Outcome,
    Plan,
    Replacing,
    carry_out,
    follow,
    insert_first_values,
    off_queries,
    plan,
    topics_of,
    variables_of,
)
from streamguard.sqldeploy.replace import rules_of
from streamguard.sqldeploy.run import remove as take_away
from streamguard.sqldeploy.script import Item, read
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
    start: Annotated[
        Start | None,
        typer.Option(
            "--from",
            help="The transactions on which new and replaced rules raise alerts; --replace alone means from now.",
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Run the files beside what runs, without effect: see `rules compare`.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take down what the files have made, with its topics; not for rules.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")] = "no reason given",
    by: Annotated[str | None, typer.Option("--by", help="Who deploys; the login name if not given.")] = None,
) -> None:
    """Say per statement whether it is unchanged, new or different; send what is new. Exits 1 if something differs."""
    settings = get_settings()
    # Foreign topics write into the live stream of transactions: they are no part of a shadow.
    every = sql_files() if shadow else [*sql_files(), *source_files()]
    paths = [sql_file(file) for file in files] if files else every
    given = variables_of(settings) | definitions(define or [])
    who = by or getpass.getuser()
    if shadow:
        if replace or start is not None:
            raise typer.BadParameter(
                "it replaces nothing: --replace and --from belong to `rules promote`", param_hint="--shadow"
            )
        deploy_shadow(settings, paths, given, who=who, reason=reason)
        return
    items = [item for path in paths for item in read(path, given)]
    if remove:
        _remove(Server(settings.ksqldb), items)
        return
    with kafka_errors():
        ensure_topics(settings, extra=topics_of(paths))
    server = Server(settings.ksqldb)
    modes = _modes()
    made = plan(server, items, replace=replace, off=off_queries(modes or {}))
    outcomes = _carry_out(settings, made, _start(start, replace), who, reason, has_database=modes is not None)
    for file in insert_first_values(server, settings, paths):
        print_line(f"values     {file}")
    for statement in follow(server, modes or {}):
        print_line(f"{statement} as the mode of its rule says")
    _name_different(outcomes)


def _remove(server: Server, items: Sequence[Item]) -> None:
    """Take down what no rule needs. Raises DeployError."""
    of_rules = {item.name for file in sql_files() for item in read(file)}
    if found := sorted({item.name for item in items} & of_rules):
        raise DeployError(
            f"{found[0]} belongs to the rules: `streamguard rules set RULE off` ends one; --remove is for others"
        )
    removed = take_away(server, items)
    for item in removed:
        print_line(Outcome("removed", item))
    if not removed:
        print_line("nothing of it is there")


def _start(start: Start | None, replace: bool) -> str | None:
    """None for a deployment that sends what is missing, and asks for no limit."""
    return start.value if start is not None else NOW if replace else None


def _carry_out(
    settings: Settings, made: Plan, start: str | None, who: str, reason: str, *, has_database: bool
) -> list[Outcome]:
    """Replace rules with their limits where there is a database, else send what is new."""

    def tell(outcome: Outcome) -> None:
        print_line(outcome)

    if not has_database:
        if start == NOW:
            raise DeployError(
                "from where on the rules count is stored in the database (DATABASE_URL), which is not there: start it, or"
                " deploy with --from beginning"
            )
        made.take_down()
        return made.send(tell)
    with deployment(), kafka_errors(), kafka_admin(settings) as kafka:
        how = Replacing(
            *(settings, kafka, database, start, who, reason),
            tell=tell,
            wait=lambda behind: print_line(f"waiting: {behind}"),
        )
        outcomes = carry_out(made, how)
    if start is not None and (rules := rules_of([item for item in made.items if made.begins(item)])):
        name_start(sorted(set(rules.values())), start)
    return outcomes


def name_start(names: Sequence[str], start: str) -> None:
    if start == NOW:
        print_line(
            f"{', '.join(names)}: alerts on transactions from now on; windows and averages are those of all transactions"
            " (--from beginning raises alerts on earlier ones too)"
        )
    else:
        print_line(f"{', '.join(names)}: alerts on all transactions of the topic")


def _name_different(outcomes: Sequence[Outcome]) -> None:
    different = [outcome.item for outcome in outcomes if outcome.status == "different"]
    if different:
        names = ", ".join(item.name for item in different)
        print_line(f"{names}: another version runs and was left as it is; --replace replaces it.", err=True)
        raise typer.Exit(1)


def _modes() -> dict[str, str] | None:
    """The modes of rules. SQL can be deployed without a database, which is then said; None is returned."""
    try:
        with database() as connection:
            return modes_of(connection)
    except NoTables:
        return None
    except DatabaseUnavailable as error:
        print_line(
            f"the modes of rules are not known, a rule that is off may run: {error}; deploy again then", err=True
        )
        return None


def definitions(options: list[str]) -> dict[str, str]:
    """`NAME=VALUE` as names in lower case to values; raises DeployError."""
    found = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name.isidentifier() or not equals:
            raise DeployError(f"--define {option}: NAME=VALUE is expected")
        found[name.lower()] = value
    return found
