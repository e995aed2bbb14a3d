"""Parquet: rows as dicts with Python's own types; times keep their zone, decimals their digits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.source import REASON_COLUMN, Row, Unreadable

_ROWS = 5_000


def open_parquet(name: str, file: IO[bytes]) -> tuple[pq.ParquetFile, tuple[str, ...]]:
    """The file and its columns, those of structs with dots. Raises InputError."""
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} is a damaged Parquet file: {error}; fetch it again") from None
    if len(set(parquet.schema_arrow.names)) != len(parquet.schema_arrow.names):
        raise InputError(f"{name} has two columns of one name: write it again with names that differ")
    names = [name for field in parquet.schema_arrow for name in _names(field)]
    return parquet, tuple(name for name in names if name != REASON_COLUMN)


def parquet_rows(parquet: pq.ParquetFile, progress: Callable[[float], None]) -> Iterator[Row | Unreadable]:
    """All rows; `progress` gets the share of them that has been read, 0 to 1. Lines are the numbers of the rows."""
    number, total = 0, max(parquet.metadata.num_rows, 1)
    for batch in _batches(parquet):
        batch = _in_microseconds(batch)
        try:
            rows: list[Any] = batch.to_pylist()
        except (ValueError, OverflowError):
            rows = [_row(batch.slice(at, 1)) for at in range(batch.num_rows)]
        for values in rows:
            number += 1
            yield values._replace(line=number) if isinstance(values, Unreadable) else Row(number, values)
        progress(number / total)


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Raises OSError for damage, of which Arrow also says that a value is invalid."""
    try:
        yield from parquet.iter_batches(batch_size=_ROWS)
    except pa.ArrowException as error:
        raise OSError(str(error)) from None


def _row(one: pa.RecordBatch) -> Any:
    """The row, or an Unreadable where Python has no type for a value, such as a date in the year 12000."""
    try:
        return one.to_pylist()[0]
    except (ValueError, OverflowError) as error:
        texts = {name: str(one.column(name).cast(pa.string())[0]) for name in one.schema.names}
        return Unreadable(0, json.dumps(texts, ensure_ascii=False), f"a value that cannot be represented: {error}")


def _names(field: pa.Field, prefix: str = "") -> Iterator[str]:
    if pa.types.is_struct(field.type) and field.type.num_fields:
        for inner in field.type:
            yield from _names(inner, f"{prefix}{field.name}.")
    else:
        yield prefix + field.name


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Nanoseconds as microseconds, rounded down, which is what Python's datetime has."""
    for at, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            floored = batch.column(at).cast(kind, safe=False)
            batch = batch.set_column(at, field.with_type(kind), floored)
    return batch
