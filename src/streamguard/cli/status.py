"""`streamguard status`: the whole picture on one screen, once or again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import get_settings
from streamguard.stack.status import look
from streamguard.stack.status.watch import show
from streamguard.stack.status.watch import watch as watch_again

app = new_app("What runs, what it does, what waits, and what is wrong. Exits 1 if anything is.")

_EVERY_S = 5.0
_LEAST_S, _MOST_S = 0.5, 86_400.0


@app.command()
def status(
    seconds: Annotated[
        float | None, typer.Argument(help=f"How often --watch looks; {_EVERY_S:.0f} unless given.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document; with --watch one in each line.")] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Print the password of the database, and no more.")
    ] = False,
) -> None:
    """Processes, queries, topics, rates, what waits, and what stands still. Exits 1 if anything does, or does not run."""
    settings = get_settings()
    if secrets:
        print(
            f"database {settings.database.name}: user {settings.database.user}, password {settings.database.password}"
        )
        return
    if seconds is not None and not (watch and _LEAST_S <= seconds <= _MOST_S):
        raise typer.BadParameter(f"SECONDS goes with --watch, from {_LEAST_S:g} to {_MOST_S:,.0f}")
    if watch:
        watch_again(settings, seconds or _EVERY_S, as_document=as_json)
        return
    found = look(settings)
    show(found, as_document=as_json)
    if found.problems:
        raise typer.Exit(1)
