"""Parquet: rows as dicts with Python's own types; times keep their zone, decimals their digits.

Imported where such a file is opened: Arrow takes 30 MB.
"""

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
        batch = _plain(batch)
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
        texts = {name: _shown(one.column(name)) for name in one.schema.names}
        return Unreadable(0, json.dumps(texts, ensure_ascii=False), f"a value that cannot be represented: {error}")


def _shown(column: pa.Array) -> str:
    try:
        return str(column.cast(pa.string())[0])
    except pa.ArrowException:
        return " ".join(str(column).split())


def _names(field: pa.Field, prefix: str = "") -> Iterator[str]:
    if pa.types.is_struct(field.type) and field.type.num_fields:
        for inner in field.type:
            yield from _names(inner, f"{prefix}{field.name}.")
    else:
        yield prefix + field.name


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as Python's datetime can have them: to the microsecond, and in UTC where they have a zone.

    An hour that a zone has twice would be taken for its first one.
    """
    for at, field in enumerate(batch.schema):
        kind = _plain_type(field.type)
        if pa.types.is_float32(kind):
            # 12.1 of single precision is 12.1 and not 12.100000381469727.
            exact = batch.column(at).cast(pa.string()).cast(pa.float64())
            batch = batch.set_column(at, field.with_type(pa.float64()), exact)
        elif kind != field.type:
            batch = batch.set_column(at, field.with_type(kind), batch.column(at).cast(kind, safe=False))
    return batch


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us" if kind.unit == "ns" else kind.unit, "UTC" if kind.tz else None)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind
