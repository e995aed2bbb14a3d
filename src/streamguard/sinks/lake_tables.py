"""The tables of the lake: their columns, made from the models of the records, and the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from streamguard.models.fields import parts
from streamguard.models.records import BadRecord
from streamguard.sinks.base import SinkRecord
from streamguard.sinks.typed import (
    REJECTED,
    TABLES,
    TIME_OF,
    Model,
    day_of,
    instant,
    is_fraud,
    other_fields,
    read,
    times_of,
)

if TYPE_CHECKING:
    import pyarrow as pa


@cache
def columns(table: str) -> pa.Schema:
    """The columns of a table: the fields of the record, and where it is from. A table has a folder for each day."""
    import pyarrow as pa  # half of the time that importing every sink would take

    time = pa.timestamp("us", tz="UTC")
    place = [("day", pa.date32()), ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64())]
    if table == REJECTED:
        raw = [("reason", pa.string()), ("key", pa.binary()), ("value", pa.binary()), ("record_time", time)]
        return pa.schema([*raw, *place])
    # Amounts as the database has them.
    types = {Decimal: pa.decimal128(19, 4), float: pa.float64(), int: pa.int64(), str: pa.string()}
    fields = []
    for name, field_info in TABLES[table].model_fields.items():
        found = parts(field_info.annotation)
        # Verdicts are a list of objects, as JSON.
        kind = next((kind for python, kind in types.items() if python in found and list not in found), pa.string())
        fields.append((name, time if name in times_of(table) else kind))
    if table == "transactions":
        fields.append(("is_fraud", pa.bool_()))
    return pa.schema([*fields, ("other_fields", pa.string()), *place])


@dataclass
class Rows:
    """Rows of one table, from one batch."""

    table: str
    models: list[Model] = field(default_factory=list)
    records: list[SinkRecord] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def as_arrow(self) -> pa.Table:
        """With the columns of the table."""
        import pyarrow as pa

        schema = columns(self.table)
        return pa.table([pa.array(self._column(name), schema.field(name).type) for name in schema.names], schema=schema)

    def _column(self, name: str) -> Sequence[Any]:
        records, models = self.records, self.models
        if name in ("topic", "partition", "offset"):
            return [getattr(record, name) for record in records]
        if self.table == REJECTED:
            return self._of_rejected(name)
        if name == "day":
            time = TIME_OF[self.table]
            return [day_of(getattr(model, time)) for model in models]
        if name == "is_fraud":
            return [is_fraud(record) for record in records]
        if name == "other_fields":
            return [other_fields(self.table, record) for record in records]
        found = [getattr(model, name) for model in models]
        if name in times_of(self.table):
            return [None if value is None else instant(value) for value in found]
        if name == "verdicts":
            return [orjson.dumps(value).decode() for value in found]
        return found

    def _of_rejected(self, name: str) -> Sequence[Any]:
        if name == "reason":
            return self.reasons
        if name in ("key", "value"):
            return [getattr(record, name) for record in self.records]
        convert = day_of if name == "day" else instant
        return [convert(max(0, record.timestamp)) for record in self.records]


def split(tables: dict[str, str], records: Sequence[SinkRecord]) -> dict[str, Rows]:
    """The rows of each table. `tables` has the table of each topic; a record that is none of its topic's is rejected."""
    found: dict[str, Rows] = {}
    for record in records:
        table = tables.get(record.topic, REJECTED)
        try:
            if table == REJECTED:
                raise BadRecord(f"the topic {record.topic} has no table")
            model = read(table, record)
        except BadRecord as error:
            rows = found.setdefault(REJECTED, Rows(REJECTED))
            rows.reasons.append(str(error))
        else:
            rows = found.setdefault(table, Rows(table))
            rows.models.append(model)
        rows.records.append(record)
    return found
