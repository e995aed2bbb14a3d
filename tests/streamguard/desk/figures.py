"""Live figures and results of batch jobs for the pages of analytics."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any
from uuid import uuid4

from psycopg2.extras import execute_values

from streamguard.figures.store import Window
from tests.support.desk import Desk

MINUTE = timedelta(minutes=1)
NAMES = {
    "type": ["card", "wallet", "transfer", "refund"],
    "channel": ["ecommerce", "app", "pos", "sepa", ""],
    "category": ["grocery", "fashion", "electronics", "travel", "cafe", "marketplace"],
    "city": ["London", "São Paulo", "Berlin", "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch"],
    "merchant": [f"M{n:04d}" for n in range(60)],
    "account": [f"ACC-{n:06d}" for n in range(70)],
}


def keep_figures(desk: Desk, *, hours: int = 24, seed: int = 5, until: datetime | None = None) -> None:
    """A day up to now, in EUR and a little USD: busiest at its end, whatever the hour is, and least half a day before."""
    rng = Random(seed)
    end = (until or datetime.now(timezone.utc)).replace(second=0, microsecond=0)
    rows: dict[Any, Window] = {}
    for minute in range(hours * 60):
        start = end - minute * MINUTE
        busy = 1 + math.cos(minute / 1_440 * 2 * math.pi)
        for currency, weight in (("EUR", 1.0), ("USD", 0.2)):
            for figure, names in NAMES.items():
                for name in rng.sample(names, min(3, len(names))):
                    count = round(rng.expovariate(1 / (6 * busy * weight + 0.1)))
                    row = _row(rng, figure, start, name, currency, count)
                    if count:
                        rows[row.key] = row
                        if figure == "merchant":
                            five = start - (start - datetime(1970, 1, 1, tzinfo=timezone.utc)) % (5 * MINUTE)
                            wide = row._replace(figure="merchant_5m", window_start=five, window_end=five + 5 * MINUTE)
                            rows.setdefault(wide.key, wide)
    with desk.engine.begin() as connection:
        cursor = connection.connection.cursor()
        statement = f"INSERT INTO live_figures ({', '.join(Window._fields)}) VALUES %s"
        execute_values(cursor, statement, list(rows.values()), page_size=5_000)


def _row(rng: Random, figure: str, start: datetime, name: str, currency: str, count: int) -> Window:
    amount = round(count * rng.lognormvariate(3.6, 0.5), 2)
    earning = 0 if name == "refund" else amount
    sums: list[Any] = [amount, earning, *(round(earning * rate, 6) for rate in (0.02, 0.013, 0.024, 0.018))]
    label = f"Merchant & Sons <{name}>" if figure == "merchant" else None
    return Window(figure, start, start + MINUTE, name, currency, label, count, *sums)


def keep_result(desk: Desk, job: str, *rows: dict[str, Any]) -> None:
    """A run of a job that is done, with these rows."""
    run_id = uuid4()
    desk.rows(
        "INSERT INTO analytics_runs (run_id, job, started_at, finished_at, source, since, until, rows, status)"
        " VALUES (%s, %s, now(), now(), 'lake', now() - interval '30 days', now(), 123456, 'done') RETURNING 1",
        *(str(run_id), job),
    )
    for place, row in enumerate(rows):
        desk.rows(
            "INSERT INTO analytics_results VALUES (%s, %s, %s, %s) RETURNING 1",
            str(run_id),
            job,
            place,
            json.dumps(row),
        )
