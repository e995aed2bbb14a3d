"""`streamguard retention --keep-days N`: say what is older, and cut it when told to."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app
from streamguard.config import get_settings
from streamguard.database import apply_schema, make_engine
from streamguard.database.retention import FIGURES, FIGURES_DAYS, MINUTES, MINUTES_DAYS, run, survey, targets

app = new_app("Remove old raw records, and old transactions where asked for.")


@app.command()
def retention(
    keep_days: Annotated[float, typer.Option("--keep-days", min=1, help="Keep what is younger, in days.")],
    rows: Annotated[bool, typer.Option("--rows", help="Remove transactions too, those of no alert.")] = False,
    minutes_days: Annotated[
        float, typer.Option("--minutes-days", min=29, help="Keep the minutes of `streamguard quality` so many days.")
    ] = MINUTES_DAYS,
    figures_days: Annotated[
        float, typer.Option("--figures-days", min=1, help="Keep live figures so many days.")
    ] = FIGURES_DAYS,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what would be cut.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who cuts; the login name if not given.")] = None,
) -> None:
    """Empty raw records and the bytes of dead letters that are older; with --rows remove old transactions of no alert.

    Transactions are as old as their event, dead letters as old as their failure. The minutes of `streamguard quality` are
    kept for 90 days unless --minutes-days says otherwise, live figures for 35 unless --figures-days does.
    Nothing is changed without --apply.
    """
    now = datetime.now(timezone.utc)
    cuts = [(cut, now - timedelta(days=keep_days)) for cut in targets(rows=rows)]
    cuts.append((MINUTES, now - timedelta(days=minutes_days)))
    cuts.append((FIGURES, now - timedelta(days=figures_days)))
    if not apply:
        with database() as connection:
            for cut, before in cuts:
                [old] = survey(connection, before, [cut])
                span = f", {old.oldest:%Y-%m-%d} to {old.newest:%Y-%m-%d}" if old.oldest and old.newest else ""
                print(f"would cut {old.rows:,} {old.what} older than {before:%Y-%m-%d %H:%M} UTC{span}")
        print("nothing was changed; --apply cuts")
        return
    engine = make_engine(get_settings())
    try:
        apply_schema(engine)
        for cut, before in cuts:
            count = run(engine, before, cut, who=by or getpass.getuser())
            print(f"cut {count:,} {cut.what} older than {before:%Y-%m-%d %H:%M} UTC")
    finally:
        engine.dispose()
