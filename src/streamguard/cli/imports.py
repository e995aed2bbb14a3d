"""`streamguard import FILE`: its command line. What it does is in `import_run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli import generator_options as opt
from streamguard.cli import import_options as options
from streamguard.cli.import_run import run_import
from streamguard.cli.shared import new_app

app = new_app(
    "Send your own payments: CSV, JSON, Parquet, OFX; known layouts, a mapping, or a guess that you agree to."
)


@app.command()
def import_command(
    file: options.File,
    layout: options.LayoutOption = None,
    mapping: options.MapOption = None,
    yes: options.Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show mapping and first payments; send nothing.")] = False,
    save_layout: Annotated[Path | None, typer.Option(help="Write the mapping as a layout file.")] = None,
    unit: options.Unit = None,
    zone: options.Zone = None,
    origin: options.Origin = None,
    day_first: options.DayFirst = None,
    decimal: options.DecimalOption = None,
    currency: options.Currency = None,
    encoding: options.Encoding = None,
    separator: options.SeparatorOption = None,
    at: options.At = None,
    member: options.Member = None,
    header_line: options.HeaderLine = None,
    rounds: options.Rounds = False,
    limit: options.Limit = None,
    speed: options.Speed = "max",
    shift_to_now: options.ShiftToNow = False,
    to_file: opt.ToFile = None,
    compression: opt.Compression = "lz4",
    wait: opt.Wait = 30.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the consumer has stored them.")] = False,
    allow: options.Allow = "0%",
    refused: options.Refused = None,
) -> None:
    """Send the payments of a file, each read exactly or refused with its reason."""
    read = options.HowToRead(
        layout,
        mapping,
        unit,
        zone,
        origin,
        day_first,
        decimal,
        currency,
        encoding,
        separator,
        at,
        member,
        header_line,
        rounds,
    )
    send = options.HowToSend(
        limit, speed, shift_to_now, to_file, compression, wait, yes, dry_run, not no_wait, allow, refused, save_layout
    )
    run_import(file, read, send)
