"""The running stack measured: what of a run of the generator is stored and decided, and how fast.

Latency is from the time that a payment is given to the producer (its event time) to the time that its row is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from streamguard.config import UserError


@dataclass(frozen=True)
class Figures:
    """One run of the generator; rate in rows/s, latencies in milliseconds."""

    stored: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    alerts: int
    decided_ms: tuple[float, float, float] | None
    """Event to decided row: p50, p95, p99; None without alerts."""


# A run that has rows from before is that of another generator.
_NEW_RUN = text(
    "SELECT run, stored FROM ("
    " SELECT regexp_replace(transaction_id, '[^-]*$', '') AS run, count(*) AS stored FROM transactions"
    " WHERE stored_at >= :started GROUP BY run) r"
    " WHERE NOT EXISTS (SELECT FROM transactions t WHERE t.transaction_id >= r.run AND t.transaction_id < r.run || ':'"
    "  AND t.stored_at < :started)"
    " ORDER BY stored DESC LIMIT 1"
)

_SPREAD = "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM {} - event_time) * 1000)"

_STORED = text(
    f"SELECT count(*) AS stored, extract(epoch FROM max(stored_at) - min(stored_at)) AS seconds,"
    f" {_SPREAD.format('stored_at')} AS latency_ms"
    " FROM transactions WHERE stored_at >= :started AND transaction_id LIKE :run"
)

_DECIDED = text(
    f"SELECT count(*) AS alerts, {_SPREAD.format('d.decided_at')} AS latency_ms"
    " FROM decisions d JOIN transactions t USING (transaction_id)"
    " WHERE d.decided_at >= :started AND t.transaction_id LIKE :run AND d.decided_by = 'rules'"
)


def wait_stored(connection: Connection, started: object, sent: int, ended: float) -> tuple[str, float]:
    """Wait up to 30 s until the transactions of this run are stored. Returns the prefix of their ids, and the seconds waited.

    Ids of one run have the same prefix up to the last hyphen; other generators may run at the same time.
    """
    while True:
        row = connection.execute(_NEW_RUN, {"started": started}).first()
        waited = time.monotonic() - ended
        if (row is not None and row.stored >= sent) or waited > 30:
            return (row.run if row is not None else ""), waited
        time.sleep(0.05)


def measure_run(connection: Connection, started: object, prefix: str) -> Figures:
    """The figures of transactions stored since `started` whose ids begin with `prefix`."""
    since = {"started": started, "run": prefix + "%"}
    row = connection.execute(_STORED, since).one()
    decided = connection.execute(_DECIDED, since).one()
    p50, p95, p99 = row.latency_ms or (0.0, 0.0, 0.0)
    seconds = float(row.seconds or 1) or 1.0
    decided_ms = tuple(decided.latency_ms) if decided.latency_ms else None
    return Figures(row.stored, row.stored / seconds, p50, p95, p99, decided.alerts, decided_ms)


@dataclass(frozen=True)
class Trial:
    """The generator at a rate for some seconds, and what came of it; `behind_s` is how long the last row took to come."""

    tps: float
    seconds: int
    sent: int
    behind_s: float
    figures: Figures

    @property
    def is_stored(self) -> bool:
        """Whether everything was stored, as fast as it was to be sent."""
        return self.figures.stored >= self.sent and self.figures.rate >= self.tps * SHARE

    @property
    def is_held(self) -> bool:
        """Whether the rate can go on: also the generator has kept it, and nothing was left waiting."""
        return self.is_stored and self.sent >= self.tps * self.seconds * SHARE and self.behind_s <= BEHIND_S


SHARE, BEHIND_S = 0.95, 2.0


class GeneratorFailed(UserError):
    """What the generator said as it ended with an error."""


Connect = Callable[[], AbstractContextManager[Connection]]


def run_trial(connect: Connect, tps: float, seconds: int, seed: int | None = None) -> Trial:
    """Run the generator beside the running stack. Raises GeneratorFailed."""
    with connect() as connection:
        started = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    chosen = str(seed if seed is not None else time.time_ns() % 1_000_000_007)
    command = [sys.executable, "-m", "streamguard.cli", "generate", "stream", "--tps", f"{tps:g}"]
    done = subprocess.run(
        [*command, "--duration", str(seconds), "--seed", chosen],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sent = re.search(r"sent ([\d,]+)", done.stdout)
    if done.returncode != 0 or sent is None:
        raise GeneratorFailed(done.stdout.strip().removeprefix("streamguard: "))
    ended, count = time.monotonic(), int(sent[1].replace(",", ""))
    with connect() as connection:
        prefix, behind_s = wait_stored(connection, started, count, ended)
        return Trial(tps, seconds, count, behind_s, measure_run(connection, started, prefix))
