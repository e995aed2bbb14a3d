"""`streamguard retention --keep-days N`: say what is older, and cut it when told to."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app
from streamguard.config import get_settings
from streamguard.database import lay_schema, make_engine
from streamguard.database.retention import chosen, run, survey

app = new_app("Cut old raw records, and old payments where asked for.")


@app.command()
def retention(
    keep_days: Annotated[float, typer.Option("--keep-days", min=1, help="Keep what is younger, in days.")],
    rows: Annotated[bool, typer.Option("--rows", help="Remove payments too, those of no incident.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what would be cut.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who cuts; the login name if not given.")] = None,
) -> None:
    """Empty raw records and the bytes of dead letters that are older; with --rows remove old payments of no incident.

    Payments are as old as their event, dead letters as old as their failure. Nothing is changed without --apply.
    """
    before = datetime.now(timezone.utc) - timedelta(days=keep_days)
    cuts = chosen(rows=rows)
    if not apply:
        with database() as connection:
            for old in survey(connection, before, cuts):
                span = f", {old.oldest:%Y-%m-%d} to {old.newest:%Y-%m-%d}" if old.oldest and old.newest else ""
                print(f"would cut {old.rows:,} {old.what} older than {before:%Y-%m-%d %H:%M} UTC{span}")
        print("nothing was changed; --apply cuts")
        return
    engine = make_engine(get_settings())
    try:
        lay_schema(engine)
        for cut in cuts:
            count = run(engine, before, cut, who=by or getpass.getuser())
            print(f"cut {count:,} {cut.what} older than {before:%Y-%m-%d %H:%M} UTC")
    finally:
        engine.dispose()
