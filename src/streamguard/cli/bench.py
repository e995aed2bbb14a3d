"""`streamguard bench pipeline`: send payments at a steady rate through the running stack; say what came and how fast.

Latency is from the moment a payment is handed to the producer (its event time) to the moment its row is written.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from sqlalchemy import Connection, text

from streamguard.cli.shared import database, new_app

app = new_app("Measure the running stack.")


@app.callback()
def _root() -> None:
    """Measure the running stack."""


@dataclass(frozen=True)
class Figures:
    """What one run gave; latencies in milliseconds."""

    stored: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    alerts: int
    alert_p95_ms: float | None


@app.command()
def pipeline(
    tps: Annotated[float, typer.Option("--tps", min=1, help="Transactions per second.")] = 1_000,
    duration: Annotated[int, typer.Option("--duration", min=1, help="Seconds.")] = 60,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the generator; the clock's if not given.")] = None,
) -> None:
    """Run the generator at --tps for --duration seconds; print throughput and the 50/95/99th percentile of latency.

    Exits 1 if not every payment is stored within 30 s of the last one.
    """
    with database() as connection:
        before = _count(connection)
        started = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    chosen = str(seed if seed is not None else time.time_ns() % 1_000_000_007)
    command = [sys.executable, "-m", "streamguard.cli", "generate", "stream", "--tps", f"{tps:g}"]
    done = subprocess.run([*command, "--duration", str(duration), "--seed", chosen], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        raise typer.Exit(done.returncode)
    ended = time.monotonic()
    with database() as connection:
        behind_s = _wait_drained(connection, ended)
        figures = _figures(connection, started)
        stored = _count(connection) - before
    print(
        f"stored        {stored:,} transactions at {figures.rate:,.0f}/s; the last {behind_s:.2f} s after it was sent"
    )
    print(f"event to row  p50 {figures.p50_ms:.0f} ms   p95 {figures.p95_ms:.0f} ms   p99 {figures.p99_ms:.0f} ms")
    if figures.alert_p95_ms is not None:
        print(f"alerts        {figures.alerts:,}; event to decided row p95 {figures.alert_p95_ms:.0f} ms")
    if stored < tps * duration * 0.95:
        typer.echo(f"only {stored:,} of {tps * duration:,.0f} payments were stored", err=True)
        raise typer.Exit(1)


def _count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM transactions")).scalar_one())


def _wait_drained(connection: Connection, ended: float) -> float:
    """Seconds from the generator's end until no more rows came; 0 if all were there."""
    newest = "SELECT max(stored_at) FROM transactions"
    last = connection.execute(text(newest)).scalar_one()
    deadline = ended + 30
    quiet_since = moved = time.monotonic()
    moved = ended
    while time.monotonic() < deadline and time.monotonic() - quiet_since < 1.0:
        connection.rollback()
        now = connection.execute(text(newest)).scalar_one()
        if now != last:
            last, quiet_since, moved = now, time.monotonic(), time.monotonic()
        time.sleep(0.05)
    return max(0.0, moved - ended)


def _figures(connection: Connection, started: object) -> Figures:
    since = {"started": started}
    spread = (
        "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM {} - event_time) * 1000)"
    )
    row = connection.execute(
        text(
            f"SELECT count(*), extract(epoch FROM max(stored_at) - min(stored_at)), {spread.format('stored_at')}"
            " FROM transactions WHERE stored_at >= :started AND event_time >= :started"
        ),
        since,
    ).one()
    alerts = connection.execute(
        text(
            f"SELECT count(*), {spread.format('d.decided_at')}"
            " FROM decisions d JOIN transactions t USING (transaction_id)"
            " WHERE d.decided_at >= :started AND t.event_time >= :started AND d.decided_by = 'rules'"
        ),
        since,
    ).one()
    p50, p95, p99 = row[2] or (0.0, 0.0, 0.0)
    seconds = float(row[1] or 1) or 1.0
    return Figures(row[0], row[0] / seconds, p50, p95, p99, alerts[0], alerts[1][1] if alerts[1] else None)
