"""Cutting what is old: raw records first, whole payments where asked for, always in batches and always on the record.

* Raw records of payments and the bytes of dead letters are emptied; the rows stay, so nothing that is counted changes.
* Payments that belong to no incident can be removed whole. Their number is kept in `retention_cuts`, in the same database
  transaction: records in = stored + dead letters + removed. The evidence of incidents is never removed.

`transactions` is not partitioned: a unique key of a partitioned table must hold the partition's column, so an id could be
stored once per month, and "each payment once" would be gone. An index by time and batches do the work instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from streamguard.database.desk import STORE_LOCK

BATCH = 5_000
"""Rows per database transaction: the consumer waits for the lock no longer than one takes."""

_UNLINKED = "NOT EXISTS (SELECT FROM alert_transactions l WHERE l.transaction_id = t.transaction_id)"


@dataclass(frozen=True)
class Cut:
    """One kind of thing to cut: what the report calls it, which rows those are, and what happens to a batch of them."""

    what: str
    table: str
    time: str
    which: str
    change: str


RAW_RECORDS = Cut(
    "raw records", "transactions", "event_time", "raw IS NOT NULL", "UPDATE transactions t SET raw = NULL"
)
DEAD_BYTES = Cut(
    "bytes of dead letters",
    "dead_letters",
    "failed_at",
    "published AND (raw_key IS NOT NULL OR raw_value IS NOT NULL)",
    "UPDATE dead_letters t SET raw_key = NULL, raw_value = NULL",
)
PAYMENTS = Cut("payments", "transactions", "event_time", _UNLINKED, "DELETE FROM transactions t")


def chosen(*, rows: bool) -> list[Cut]:
    """What one run cuts, in this order."""
    return [RAW_RECORDS, DEAD_BYTES, *([PAYMENTS] if rows else [])]


@dataclass(frozen=True)
class Old:
    """What there is to cut of one kind."""

    what: str
    rows: int
    oldest: datetime | None
    newest: datetime | None


def survey(connection: Connection, before: datetime, cuts: list[Cut]) -> list[Old]:
    """How much is older than `before`; changes nothing."""
    found = []
    for cut in cuts:
        row = connection.execute(
            text(
                f"SELECT count(*), min({cut.time}), max({cut.time}) FROM {cut.table} t"
                f" WHERE {cut.time} < :before AND {cut.which}"
            ),
            {"before": before},
        ).one()
        found.append(Old(cut.what, *row))
    return found


def run(engine: Engine, before: datetime, cut: Cut, *, who: str, batch: int = BATCH) -> int:
    """Cut one kind of what is older than `before`, batch by batch; returns the rows. May be stopped at any time."""
    total = 0
    with engine.connect() as connection:
        started = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    for count in _batches(engine, before, cut, batch, {"started": started, "who": who}):
        total += count
    return total


def _batches(engine: Engine, before: datetime, cut: Cut, batch: int, entry: dict[str, Any]) -> Iterator[int]:
    """Go forward in time, each batch beginning where the one before ended, so that nothing is looked at twice."""
    since: datetime | None = None
    while True:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": STORE_LOCK})
            lower = f"{cut.time} >= :since AND" if since is not None else ""
            times = connection.execute(
                text(
                    f"{cut.change} WHERE t.ctid = ANY(ARRAY("
                    f" SELECT t.ctid FROM {cut.table} t WHERE {lower} {cut.time} < :before AND {cut.which}"
                    f" ORDER BY {cut.time} LIMIT :batch FOR UPDATE)) RETURNING {cut.time}"
                ),
                {"before": before, "batch": batch, **({} if since is None else {"since": since})},
            ).scalars()
            found = list(times)
            if not found:
                return
            connection.execute(
                text(
                    "INSERT INTO retention_cuts (started_at, what, older_than, cut_by, row_count)"
                    " VALUES (:started, :what, :before, :who, :count) ON CONFLICT (started_at, what)"
                    " DO UPDATE SET row_count = retention_cuts.row_count + excluded.row_count"
                ),
                {**entry, "what": cut.what, "before": before, "count": len(found)},
            )
        since = max(found)
        yield len(found)
