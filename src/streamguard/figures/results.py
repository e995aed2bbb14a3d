"""What the newest run of a batch job has found, as the desk shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as


@dataclass(frozen=True)
class Run:
    """A run of a batch job that is done; `rows` are the transactions that it has read, from `since` to before `until`."""

    run_id: Any
    job: str
    finished_at: datetime
    source: str
    since: datetime | None
    until: datetime | None
    rows: int | None


@dataclass(frozen=True)
class Column:
    """A column of a table, and whether it has numbers."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Table:
    """The first rows of one table of a result, as texts; `total` is how many there are."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: int


@dataclass(frozen=True)
class Result:
    """A run with its tables."""

    run: Run
    tables: Sequence[Table]


_NEWEST = text(
    f"SELECT {columns_of(Run)} FROM analytics_runs WHERE job = :job AND status = 'done' ORDER BY started_at DESC LIMIT 1"
)
_ROWS = text("""
SELECT name, data, total FROM (
    SELECT data ->> 'table' AS name, data, place, row_number() OVER of_table AS nth, count(*) OVER (PARTITION BY data ->> 'table')
        AS total, min(place) OVER (PARTITION BY data ->> 'table') AS first
    FROM analytics_results WHERE run_id = :run_id AND job = :job
    WINDOW of_table AS (PARTITION BY data ->> 'table' ORDER BY place)
) AS numbered WHERE nth <= :most ORDER BY first, place
""")


def newest_result(connection: Connection, job: str, most: int = 10) -> Result | None:
    """What the newest run that is done has found, `most` rows of each table; None where there is none."""
    runs = select_as(connection, Run, _NEWEST, {"job": job})
    if not runs:
        return None
    found: dict[str, list[dict[str, Any]]] = {}
    totals: dict[str, int] = {}
    for row in connection.execute(_ROWS, {"run_id": runs[0].run_id, "job": job, "most": most}):
        found.setdefault(row.name or "", []).append(row.data)
        totals[row.name or ""] = row.total
    return Result(runs[0], [_table(name, rows, totals[name]) for name, rows in found.items()])


def _table(name: str, rows: Sequence[dict[str, Any]], total: int) -> Table:
    # JSONB does not keep the order of names.
    names = sorted({name for row in rows for name in row if name != "table"}, key=_place)
    columns = [Column(name, all(_is_number(row.get(name)) for row in rows)) for name in names]
    return Table(name, columns, [[_shown(row.get(name)) for name in names] for row in rows], total)


def _is_number(value: Any) -> bool:
    return value is None or (not isinstance(value, bool) and _number(value) is not None)


def _number(value: Any) -> Decimal | None:
    """Sums are texts, for they are exact."""
    try:
        return Decimal(str(value)) if isinstance(value, int | float | str) else None
    except ArithmeticError:
        return None


def _shown(value: Any) -> str:
    """A number with at most four places, anything else as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or (found := _number(value)) is None or not found.is_finite():
        return str(value)
    rounded = f"{found:,.4f}".rstrip("0").rstrip(".")
    return rounded if "." in str(value) else str(value) if isinstance(value, str) else f"{value:,}"


def _place(column: str) -> tuple[bool, bool, str]:
    """What a row is about first, then its counts and sums."""
    return column != "currency", not column.endswith(("_id", "name", "category", "segment", "structure", "day")), column
