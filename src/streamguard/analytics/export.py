"""Copies what the jobs need from Postgres into Parquet files, in bounded memory and one database transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from sqlalchemy import text

from streamguard.config import Settings
from streamguard.database import make_engine

_BLOCK_BYTES = 4 << 20
_TYPES = {
    "amount": pa.decimal128(19, 4),
    "event_time": pa.timestamp("us"),
    "decided_at": pa.timestamp("us"),
    "is_fraud": pa.bool_(),
    "tx_count": pa.int64(),
}
_INSTANTS = ("event_time", "decided_at")
_DECISIONS = "d.alert_id, d.tx_count, a.rule, d.transaction_id, d.outcome, d.decided_by, d.decided_at"


def export(
    settings: Settings, folder: Path, columns: Sequence[str], since: datetime | None, until: datetime | None
) -> None:
    """Write `transactions` of [since, until) with these columns and `event_time`, and `decisions`, as folders of Parquet files.

    `is_fraud` is null: Postgres has no labels but what rules and analysts say, which the decisions have. Raises database errors.
    """
    bounds = " AND ".join(
        f"event_time {sign} {value}"
        for sign, value in ((">=", _literal(since)), ("<", _literal(until)))
        if value is not None
    )
    needed = sorted({*columns, "event_time"})
    engine = make_engine(settings, "streamguard-analyse")
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            selected = ", ".join(map(_selected, needed))
            _copy(
                connection,
                f"SELECT {selected} FROM transactions WHERE {bounds or 'TRUE'}",
                needed,
                folder / "transactions",
            )
            names = [name.strip().split(".")[1] for name in _DECISIONS.split(",")]
            query = f"SELECT {_DECISIONS} FROM decisions d JOIN fraud_alerts a USING (alert_id)"
            _copy(connection, query, names, folder / "decisions")
    finally:
        engine.dispose()


def _literal(at: datetime | None) -> str | None:
    return None if at is None else f"TIMESTAMPTZ '{at.isoformat()}'"


def _selected(column: str) -> str:
    return "NULL::BOOLEAN AS is_fraud" if column == "is_fraud" else column


def _copy(connection: Any, query: str, columns: Sequence[str], folder: Path) -> None:
    """COPY writes CSV into a pipe on a thread of its own, and it is read here, block by block."""
    folder.mkdir()
    failed: list[Exception] = []
    reading, writing = os.pipe()

    def send() -> None:
        with open(writing, "wb") as out:
            try:
                with connection.connection.cursor() as cursor:
                    # Times without their zone, which is UTC on our connections.
                    shown = ", ".join(
                        f"CAST({name} AS TIMESTAMP) AS {name}" if name in _INSTANTS else name for name in columns
                    )
                    cursor.copy_expert(f"COPY (SELECT {shown} FROM ({query}) q) TO STDOUT (FORMAT csv)", out)
            except BrokenPipeError:
                pass
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        with open(reading, "rb") as source:
            _write(source, columns, folder / "part-0.parquet")
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _write(source: Any, columns: Sequence[str], file: Path) -> None:
    types = {name: _TYPES.get(name, pa.string()) for name in columns}
    schema = pa.schema(
        [(name, pa.timestamp("us", "UTC") if name in _INSTANTS else kind) for name, kind in types.items()]
    )
    with pa.parquet.ParquetWriter(file, schema) as parquet:
        try:
            blocks = pa.csv.open_csv(
                source,
                pa.csv.ReadOptions(column_names=list(columns), block_size=_BLOCK_BYTES),
                pa.csv.ParseOptions(newlines_in_values=True),
                pa.csv.ConvertOptions(
                    column_types=types,
                    true_values=["t"],
                    false_values=["f"],
                    # COPY writes NULL as nothing, and the empty text in quotes.
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise
            return
        for block in blocks:
            arrays = [
                column.cast(pa.timestamp("us", "UTC")) if name in _INSTANTS else column
                for name, column in zip(columns, block.columns, strict=True)
            ]
            parquet.write_batch(pa.record_batch(arrays, schema=schema))
