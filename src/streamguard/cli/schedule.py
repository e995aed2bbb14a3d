"""`streamguard schedule`: run commands at times, and say what ran."""

from __future__ import annotations

import json
import logging
import signal
import threading
from datetime import datetime, timezone
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app, print_line, print_lines
from streamguard.config import get_settings
from streamguard.config.logs import configure_logging
from streamguard.database import make_engine
from streamguard.metrics.page import serve
from streamguard.metrics.schedule import ScheduleMetrics
from streamguard.schedules.history import newest, runs
from streamguard.schedules.plan import (
    ScheduleError,
    check_name,
    parse_plan,
    plan_file,
    read_plan,
    write_plan,
)

app = new_app("Commands at times: the process that runs them, the list, the history.")


@app.command("run")
def run_schedule() -> None:
    """Run the jobs of the schedule at their times, until stopped. Changes of the file are followed."""
    from streamguard.schedules.runner import Runner

    settings = get_settings()
    configure_logging("schedule", settings)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    stop, metrics = threading.Event(), ScheduleMetrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = make_engine(settings, "streamguard-schedule")
    page = serve(settings, "schedule", [metrics], metrics.ready)
    try:
        Runner(settings, engine, stop, metrics).run()
    finally:
        page.close()
        engine.dispose()


@app.command("list")
def list_jobs() -> None:
    """The jobs: when, the next time, and how the last run ended."""
    file = plan_file(get_settings())
    plan = read_plan(file)
    if not plan:
        print_line(f"nothing is scheduled; `streamguard schedule add` does, or {file}")
        return
    with database() as connection:
        last = newest(connection, list(plan))
    now = datetime.now(timezone.utc)
    for name, entry in plan.items():
        run = last.get(name)
        ended = f"{run.status} {_minute(run.finished_at)}" if run else "has not run"
        since = run.due_at if run and entry.every else now
        print_line(f"{name:<20}{entry.when:<24}next {_minute(entry.next_after(since)):<18}{ended:<26}{entry.command}")


@app.command()
def history(
    job: Annotated[str | None, typer.Argument(help="Of one job; of all if not given.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="At most so many runs.")] = 20,
    output: Annotated[bool, typer.Option("--output", help="With what each run printed last.")] = False,
) -> None:
    """What ran, the newest first."""
    with database() as connection:
        found = runs(connection, job, most)
    if not found:
        print_line("nothing has run yet" if job is None else f"{job} has not run yet")
    for run in found:
        code = "" if run.exit_code is None else f", exit code {run.exit_code}"
        tried = f", {run.attempts} attempts" if run.attempts > 1 else ""
        took = (
            f" {(run.finished_at - run.started_at).total_seconds():.0f} s" if run.finished_at and run.started_at else ""
        )
        print_line(f"{_minute(run.due_at)}  {run.job:<20}{run.status}{took}{tried}{code}  {run.command}")
        if output and run.output:
            print_lines(f"    {line}" for line in run.output.rstrip().splitlines())


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    command: Annotated[str, typer.Argument(help='In quotes, without streamguard: "analyse --since 90d".')],
    at: Annotated[str | None, typer.Option("--at", help='When, as cron says it, UTC: "0 2 * * *".')] = None,
    every: Annotated[str | None, typer.Option("--every", help="Or how often: 30m, 6h, 1d.")] = None,
    retries: Annotated[int, typer.Option("--retries", help="How often it is tried again.")] = 2,
    retry_after_s: Annotated[
        float, typer.Option("--retry-after-s", help="The first pause; each is twice as long.")
    ] = 60,
    timeout_s: Annotated[float, typer.Option("--timeout-s", help="How long it may take.")] = 3_600,
    missed: Annotated[
        str, typer.Option("--missed", help="run or skip a time at which the schedule did not run.")
    ] = "run",
) -> None:
    """Schedule a command: `streamguard schedule add nightly "analyse --since 90d" --at "0 2 * * *"`."""
    file = plan_file(get_settings())
    plan = dict(read_plan(file))
    check_name(name)
    if name in plan:
        raise ScheduleError(f"{name} is scheduled already: remove it first, or edit {file}")
    entry = {"command": command, "retries": retries, "retry_after_s": retry_after_s}
    entry |= {"timeout_s": timeout_s, "missed": missed}
    entry |= {key: value for key, value in (("at", at), ("every", every)) if value is not None}
    [made] = parse_plan(json.dumps({name: entry}), file).values()
    made.trigger()
    plan[name] = made
    write_plan(file, plan)
    print_line(f"{name} runs {made.when}, next at {_minute(made.next_after(datetime.now(timezone.utc)))}")
    print_line("a schedule that runs follows within seconds; `streamguard up` starts one")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="The job.")]) -> None:
    """Take a job out of the schedule. Its history stays."""
    file = plan_file(get_settings())
    plan = dict(read_plan(file))
    if name not in plan:
        raise ScheduleError(f"{name} is not scheduled; these are: {', '.join(plan) or 'none'}")
    del plan[name]
    write_plan(file, plan)
    print_line(f"{name} is no longer scheduled")


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
