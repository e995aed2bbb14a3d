"""`streamguard analyse [JOB...]`: batch jobs over the history, their results as tables and as one HTML page."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import DBAPIError

from streamguard.analytics.catalogue import JobError, load_jobs
from streamguard.analytics.run import Analysis, analyse
from streamguard.cli.shared import DatabaseUnavailable, NoTables, new_app, print_line
from streamguard.config import UserError, get_settings
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.database import error_message, is_outage, sqlstate
from streamguard.dead_letters.find import time_of

app = new_app("Answer questions over the whole history: commission, patterns, segments, merchants, losses and more.")

_UNDEFINED_TABLE = "42P01"
_WHEN = "a time, 2026-11-29T10:00 (UTC), or so long ago: 24h, 90d."


class JobsFailed(UserError):
    """Some jobs have failed; the others are stored."""


@app.command()
def run(
    jobs: Annotated[list[str] | None, typer.Argument(help="The jobs to run; all if none is named.")] = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Transactions since {_WHEN}")] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"Transactions before {_WHEN}")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder of the report; `reports` in the state folder if not given.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Whether to write the HTML page.")] = True,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Whether to store the results as tables.")] = True,
    list_jobs: Annotated[bool, typer.Option("--list", help="Only list the jobs.")] = False,
) -> None:
    """Run batch jobs over the lake (LAKE_URI), or over Postgres where there is no lake.

    They run on the engine that comes with the extra `batch`, or on a Spark of yours that SPARK_REMOTE names. Every row of the
    results goes to Delta tables below LAKE_URI/analytics, the first of each table to Postgres, and all into one HTML page that
    opens without a network.
    """
    wanted = load_jobs(jobs or [])
    if list_jobs:
        for job in wanted:
            print_line(f"{job.name:<12}{job.title}")
        return
    settings, now = get_settings(), datetime.now(timezone.utc)
    begin, end = (time_of(words, now) if words else None for words in (since, until))
    if begin and end and begin >= end:
        raise JobError(f"--since {since} does not lie before --until {until}: there is nothing in between")
    if report:
        need("batch", "plotly.offline")
    found = _shown(list(jobs or []), begin, end, store)
    print_line(
        f"{found.transactions:,} transactions of {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
        f" from {without_login(found.source)}"
    )
    if store:
        print_line(f"tables: {without_login(settings.lake_uri)}/analytics, and analytics_results in Postgres")
    if report:
        from streamguard.analytics.report import write_report

        print_line(f"report: {write_report(found, to or settings.state_path / 'reports', now)}")
    failed = [result for result in found.results if result.error]
    if failed:
        raise JobsFailed("; ".join(f"the job {result.job.name} failed: {result.error}" for result in failed))


def _shown(names: list[str], since: datetime | None, until: datetime | None, store: bool) -> Analysis:
    """Run them with a bar of progress on a terminal, or a line for each job elsewhere. Raises UserError."""
    terminal = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        bar = progress.add_task("starting the engine", total=None)

        def told(job: str, state: str, seconds: float, of: int) -> None:
            if state == "running":
                progress.update(bar, description=job, total=of)
                return
            progress.advance(bar)
            progress.console.print(f"{job:<12}{state} in {seconds:.1f} s", highlight=False)

        try:
            return analyse(get_settings(), names, since, until, store=store, told=told)
        except DBAPIError as error:
            if sqlstate(error) == _UNDEFINED_TABLE:
                raise NoTables("the database (DATABASE_URL) lacks tables: `streamguard up` makes them") from None
            if not is_outage(error):
                raise
            hint = "" if not store else "; --no-store writes the report alone, where there is a lake"
            raise DatabaseUnavailable(f"the database (DATABASE_URL): {error_message(error)}{hint}") from None
