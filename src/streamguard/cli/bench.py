"""`streamguard bench`: the running stack (`pipeline`), the broker and the engine, each beside what it is compared with.

`pipeline` sends payments at a steady rate through the running stack and says what came and how fast.

Latency is from the moment a payment is handed to the producer (its event time) to the moment its row is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from sqlalchemy import Connection, text

from streamguard.bench.broker.command import broker
from streamguard.bench.engine.command import engine
from streamguard.cli.shared import database, new_app

app = new_app("Measure the running stack, the broker or the engine.")
app.command()(broker)
app.command()(engine)


@app.callback()
def _root() -> None:
    """Measure the running stack, the broker or the engine."""


@dataclass(frozen=True)
class Figures:
    """What one run gave; latencies in milliseconds."""

    stored: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    alerts: int
    decided_ms: tuple[float, float, float] | None
    """Event to decided row: p50, p95, p99; None without alerts."""


@app.command()
def pipeline(
    tps: Annotated[float, typer.Option("--tps", min=1, help="Transactions per second.")] = 1_000,
    duration: Annotated[int, typer.Option("--duration", min=1, help="Seconds.")] = 60,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the generator; the clock's if not given.")] = None,
) -> None:
    """Run the generator at --tps for --duration seconds; print throughput and the 50/95/99th percentile of latency.

    Exits 1 if not every payment is stored within 30 s of the last one.
    """
    with database(autocommit=True) as connection:
        started = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    chosen = str(seed if seed is not None else time.time_ns() % 1_000_000_007)
    command = [sys.executable, "-m", "streamguard.cli", "generate", "stream", "--tps", f"{tps:g}"]
    done = subprocess.run(
        [*command, "--duration", str(duration), "--seed", chosen],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        typer.echo(done.stdout, err=True)
        raise typer.Exit(done.returncode)
    ended = time.monotonic()
    sent = int(re.search(r"sent ([\d,]+)", done.stdout).group(1).replace(",", ""))  # type: ignore[union-attr]
    with database(autocommit=True) as connection:
        prefix, behind_s = _wait_stored(connection, started, sent, ended)
        figures = _figures(connection, started, prefix)
    print(f"sent          {sent:,} transactions at {sent / duration:,.0f}/s")
    print(
        f"stored        {figures.stored:,} at {figures.rate:,.0f}/s; the last {behind_s:.2f} s after the sender's end"
    )
    print(f"event to row  p50 {figures.p50_ms:.0f} ms   p95 {figures.p95_ms:.0f} ms   p99 {figures.p99_ms:.0f} ms")
    if figures.decided_ms is not None:
        p50, p95, p99 = figures.decided_ms
        print(
            f"event to decided row  p50 {p50:.0f} ms   p95 {p95:.0f} ms   p99 {p99:.0f} ms   ({figures.alerts:,} alerts)"
        )
    if figures.stored < sent or figures.rate < tps * 0.95:
        typer.echo(f"{figures.stored:,} of {sent:,} payments stored, at {figures.rate:,.0f}/s", err=True)
        raise typer.Exit(1)


def _wait_stored(connection: Connection, started: object, sent: int, ended: float) -> tuple[str, float]:
    """Wait until the payments of this run are stored. Returns what their ids begin with, and how many seconds it took.

    Ids of one run share what stands before the last hyphen; other generators may run meanwhile.
    """
    largest = text(
        "SELECT regexp_replace(transaction_id, '[^-]*$', '') AS run, count(*) FROM transactions"
        " WHERE stored_at >= :started GROUP BY run ORDER BY count(*) DESC LIMIT 1"
    )
    while True:
        row = connection.execute(largest, {"started": started}).first()
        waited = time.monotonic() - ended
        if (row is not None and row[1] >= sent) or waited > 30:
            return (row[0] if row is not None else ""), waited
        time.sleep(0.05)


def _figures(connection: Connection, started: object, prefix: str) -> Figures:
    since = {"started": started, "run": prefix + "%"}
    spread = (
        "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM {} - event_time) * 1000)"
    )
    row = connection.execute(
        text(
            f"SELECT count(*), extract(epoch FROM max(stored_at) - min(stored_at)), {spread.format('stored_at')}"
            " FROM transactions WHERE stored_at >= :started AND transaction_id LIKE :run"
        ),
        since,
    ).one()
    alerts = connection.execute(
        text(
            f"SELECT count(*), {spread.format('d.decided_at')}"
            " FROM decisions d JOIN transactions t USING (transaction_id)"
            " WHERE d.decided_at >= :started AND t.transaction_id LIKE :run AND d.decided_by = 'rules'"
        ),
        since,
    ).one()
    p50, p95, p99 = row[2] or (0.0, 0.0, 0.0)
    seconds = float(row[1] or 1) or 1.0
    return Figures(row[0], row[0] / seconds, p50, p95, p99, alerts[0], tuple(alerts[1]) if alerts[1] else None)
