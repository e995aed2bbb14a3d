"""`streamguard deploy [FILES]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import PROJECT_ROOT, get_settings
from streamguard.sqldeploy import deploy as run
from streamguard.sqldeploy.state import Server

app = new_app("Bring SQL files to the ksqlDB server, as often as you like.")


@app.command()
def deploy(
    files: Annotated[list[Path] | None, typer.Argument(help="SQL files; ksqldb/queries.sql if none.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make anew what differs, and what reads from it.")] = False,
) -> None:
    """Say per statement whether it is unchanged, new or different; send what is new. Exits 1 if something differs."""
    settings = get_settings()
    chosen = files or [PROJECT_ROOT / "ksqldb" / "queries.sql"]
    outcomes = run(
        Server(settings.ksqldb_url), chosen, replace=replace, tell=lambda outcome: print(outcome, flush=True)
    )
    different = [outcome.item for outcome in outcomes if outcome.status == "different"]
    if different:
        names = ", ".join(item.name for item in different)
        typer.echo(f"{names}: another version runs and was left as it is; --replace brings the file's.", err=True)
        raise typer.Exit(1)
