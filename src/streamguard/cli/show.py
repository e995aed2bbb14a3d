"""`streamguard psql|status|logs`: look at what is there."""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer
from sqlalchemy import text

from streamguard.cli.shared import database, new_app
from streamguard.config import Settings, get_settings
from streamguard.stack.postgres import psql_program
from streamguard.stack.supervisor import StackError, Supervisor

psql_app = new_app("psql on the database; every argument is psql's own.")
status_app = new_app("What runs, and how much it has stored.")
logs_app = new_app("What the processes said.")


@psql_app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def psql(context: typer.Context) -> None:
    """Become psql, connected to DATABASE_URL: `streamguard psql -c "SELECT 1"`."""
    program = psql_program()
    environment = {**os.environ, **get_settings().database.libpq_environment, "PGAPPNAME": "psql"}
    os.execvpe(program, [program, *context.args], environment)


COUNTS = """
SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM fraud_alerts), (SELECT count(*) FROM dead_letters),
    (SELECT coalesce(sum(records_read), 0) FROM consumer_offsets)
"""


@status_app.command()
def status() -> None:
    """Processes, addresses and counts. Exits 1 if nothing runs or something should and does not."""
    settings = get_settings()
    healthy = _show_processes(settings)
    print(
        f"\nlog {settings.kafka_bootstrap_servers}   SQL {settings.ksqldb_url}   database port {settings.database.port}"
    )
    with database() as connection:
        transactions, alerts, dead, read = connection.execute(text(COUNTS)).one()
    print(f"{transactions:,} transactions, {alerts:,} alerts, {dead:,} dead letters; {read:,} records read")
    if not healthy:
        raise typer.Exit(1)


def _show_processes(settings: Settings) -> bool:
    supervisor = Supervisor(settings)
    if not supervisor.alive():
        print("no process of the embedded stack runs; ./start.sh starts it")
        return False
    processes = supervisor.processes()
    for process in processes.values():
        up = f"for {process.up_s // 3600}:{process.up_s // 60 % 60:02}:{process.up_s % 60:02}" if process.pid else ""
        print(f"{process.name:<10} {process.state.lower():<9} {process.pid or '':<8} {up} {process.said}".rstrip())
    return all(process.state == "RUNNING" for process in processes.values())


@logs_app.command()
def logs(
    part: Annotated[
        str | None, typer.Argument(help="postgres, broker, ksqldb, consumer, generator; all if none.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """The last lines of the logs."""
    folder = get_settings().state_path / "logs"
    files = sorted(folder.glob(f"{part or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none yet"
        raise StackError(f"no log {part or ''} in {folder}; there are: {known}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, files)]
    try:
        raise typer.Exit(subprocess.run(command).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
