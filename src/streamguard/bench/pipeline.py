"""The running stack measured: what of a run of the generator is stored and decided, and how fast.

Latency is from the time that a payment is given to the producer (its event time) to the time that its row is written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text


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


def wait_stored(connection: Connection, started: object, sent: int, ended: float) -> tuple[str, float]:
    """Wait up to 30 s until the payments of this run are stored. Returns the prefix of their ids, and the seconds waited.

    Ids of one run have the same prefix up to the last hyphen; other generators may run at the same time.
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


def measure_run(connection: Connection, started: object, prefix: str) -> Figures:
    """The figures of payments stored since `started` whose ids begin with `prefix`."""
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
