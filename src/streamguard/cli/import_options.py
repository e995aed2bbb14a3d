"""The options of `streamguard import`, some of which `replay`, `evaluate` and `dead-letters retry` have too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from streamguard.cli import generator_options as opt
from streamguard.ingest.columns import Options
from streamguard.ingest.errors import InputError
from streamguard.ingest.files import open_source
from streamguard.ingest.layouts import known_layouts

_LAYOUTS = ", ".join(layout.name for layout in known_layouts())

File = Annotated[
    str, typer.Argument(help="CSV, JSON lines, a JSON document, Parquet or OFX; gz, zst, zip; - is standard input.")
]
LayoutOption = Annotated[str | None, typer.Option(help=f"A .yaml file, or {_LAYOUTS}.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN,...", help="Which column is which field; see docs/own-data.md."),
]
Unit = Annotated[
    str | None, typer.Option(help="What times count: s, ms, us, ns, excel; or hours, days, ... with --origin.")
]
Zone = Annotated[str | None, typer.Option(help="The zone of times that name none: America/Sao_Paulo; else UTC.")]
Origin = Annotated[str | None, typer.Option(help="The day that hours or days count from.")]
DayFirst = Annotated[bool | None, typer.Option("--day-first/--month-first", help="What 01/02/2026 means.")]
DecimalOption = Annotated[str | None, typer.Option("--decimal", help="What stands before the decimals: . or ,")]
Currency = Annotated[str | None, typer.Option(help="For files that name none.")]
Encoding = Annotated[str | None, typer.Option(help="Such as utf-8, windows-1252, utf-16; found out if not given.")]
SeparatorOption = Annotated[str | None, typer.Option(help="Between the cells of a CSV; found out if not given.")]
At = Annotated[str | None, typer.Option(help="Where the payments are in a JSON document: added, data.items.")]
Member = Annotated[str | None, typer.Option(help="Which file of a zip.")]
Rounds = Annotated[bool, typer.Option("--round", help="Round amounts to the decimals of their currency.")]
HeaderLine = Annotated[int | None, typer.Option(help="The line of a CSV's header, from 1; 0: it has none.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many.")]
Speed = Annotated[str, typer.Option(help="1 is real time, 3600 an hour a second, max as fast as taken.")]
ShiftToNow = Annotated[
    bool,
    typer.Option("--shift-to-now", help="Move event times: begin now if played at a speed, end now if sent at once."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to a guess without being asked.")]
Allow = Annotated[str, typer.Option(metavar="N%", help="End with 0 although so many rows were refused.")]
Refused = Annotated[Path | None, typer.Option(help="Where refused rows go; a new file beside FILE by default.")]


@dataclass(frozen=True)
class HowToRead:
    """The options that say what a file is."""

    layout: str | None = None
    mapping: list[str] | None = None
    unit: str | None = None
    zone: str | None = None
    origin: str | None = None
    day_first: bool | None = None
    decimal: str | None = None
    currency: str | None = None
    encoding: str | None = None
    separator: str | None = None
    at: str | None = None
    member: str | None = None
    header_line: int | None = None
    rounds: bool = False

    def options(self) -> Options:
        """Those about values; raises InputError."""
        if self.decimal not in (None, ".", ","):
            raise InputError(f"--decimal is {self.decimal!r}: it is . or ,")
        currency = None if self.currency is None else opt.known_currency(self.currency)
        decimal: Any = self.decimal
        return Options(self.unit, self.zone, self.day_first, decimal, currency, self.origin, self.rounds)

    def open(self, file: str) -> Any:
        """The file as rows; raises InputError."""
        separator = {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator)
        return open_source(
            file,
            encoding=self.encoding,
            separator=separator,
            at=self.at,
            member=self.member,
            header_line=self.header_line,
        )


@dataclass(frozen=True)
class HowToSend:
    """The options that say what becomes of the records."""

    limit: int | None = None
    speed: str = "max"
    shift_to_now: bool = False
    to_file: Path | None = None
    compression: str = "lz4"
    wait_s: float = 30.0
    yes: bool = False
    dry_run: bool = False
    waits_for_store: bool = True
    allow: str = "0"
    refused: Path | None = None
    save_layout: Path | None = None
