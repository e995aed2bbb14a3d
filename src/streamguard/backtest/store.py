"""Results that are kept in the database, each stored whole in one statement when it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from streamguard.backtest.errors import BacktestError
from streamguard.database.rows import columns_of, select_as


@dataclass(frozen=True)
class Kept:
    """A back-test that was kept; `inputs` and `result` are JSON."""

    backtest_no: int
    command: str
    inputs: str
    result: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Line:
    """A back-test in the list."""

    backtest_no: int
    command: str
    created_by: str
    created_at: datetime


_KEEP = """
INSERT INTO backtests (command, inputs, result, created_by) VALUES (:command, :inputs, :result, :who)
RETURNING backtest_no
"""
_ONE = f"SELECT {columns_of(Kept)} FROM backtests WHERE backtest_no = :number"
_LIST = f"SELECT {columns_of(Line)} FROM backtests ORDER BY backtest_no"
_RESOLVED = (
    "SELECT alert_id, status = 'confirmed' AS confirmed FROM fraud_alerts WHERE status IN ('confirmed', 'dismissed')"
)


def keep(connection: Connection, *, command: str, inputs: str, result: str, who: str) -> int:
    """Keep a result; its number."""
    row = {"command": command, "inputs": inputs, "result": result, "who": who}
    return int(connection.execute(text(_KEEP), row).scalar_one())


def kept(connection: Connection, number: int) -> Kept:
    """One result. Raises BacktestError where there is none of this number."""
    found = select_as(connection, Kept, text(_ONE), {"number": number})
    if not found:
        numbers = [line.backtest_no for line in listed(connection)]
        near = f"; the last one is {numbers[-1]}" if numbers else "; none was kept yet"
        raise BacktestError(f"there is no back-test {number}{near} (`streamguard backtest list`)")
    return found[0]


def listed(connection: Connection) -> list[Line]:
    """All of them, the oldest first."""
    return select_as(connection, Line, text(_LIST))


def resolved_alerts(connection: Connection) -> dict[str, bool]:
    """The alerts that analysts resolved, true where they confirmed one."""
    return {row.alert_id: bool(row.confirmed) for row in connection.execute(text(_RESOLVED))}
