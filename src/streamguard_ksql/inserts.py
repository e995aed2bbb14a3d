"""INSERT INTO ... VALUES: one row, written as any producer would write it.

Source: docs/developer-guide/ksqldb-reference/insert-values.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.casts import coerce_literal
from streamguard_ksql.catalog import Catalog, DataSource
from streamguard_ksql.errors import ROW_ERRORS, BadRequest, KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.operators.sinks import serializers
from streamguard_ksql.refusals import inserting
from streamguard_ksql.schema import ROWTIME, Column
from streamguard_ksql.text import renderer, type_text
from streamguard_ksql.transform import column_refs
from streamguard_ksql.types import BIGINT, SqlType


def insert_values_record(
    statement: ast.InsertValues, catalog: Catalog, config: Mapping[str, Any], clock: Callable[[], int]
) -> OutputRecord:
    """The record of an INSERT VALUES; `clock` gives the time in milliseconds for rows that do not say ROWTIME."""
    source = writable_source(catalog, statement.target)
    columns = _columns(source, statement)
    if len(columns) != len(statement.values):
        raise _wrong_count(statement)
    row: dict[str, Any] = {}
    for column, expression in zip(columns, statement.values, strict=True):
        row[column.name] = _value(source, column, expression, config)
    return row_record(source, row, clock)


def writable_source(catalog: Catalog, name: str) -> DataSource:
    """The source that values may be inserted into; KsqlError for one that is unknown, read-only or windowed."""
    source = catalog.find(name)
    if source is None:
        raise BadRequest(f"Cannot insert values into an unknown stream/table: `{name}`{catalog.hint(name)}")
    if source.read_only:
        raise KsqlError(f"Cannot insert values into read-only {source.kind.lower()}: {source.name}")
    if source.window is not None:
        raise KsqlError("Cannot insert values into windowed stream/table!")
    return source


def row_record(source: DataSource, row: Mapping[str, Any], clock: Callable[[], int]) -> OutputRecord:
    """The record for a row given by column; the time is ROWTIME, else the TIMESTAMP column's, else the clock's."""
    schema = source.schema
    if source.is_table and any(row.get(c.name) is None for c in schema.key):
        missing = ",".join(c.name for c in schema.key)
        raise inserting(source.name, f"Value for primary key column(s) {missing} is required for tables")
    write_key, write_value = serializers(source)
    key_values = [row.get(c.name) for c in schema.key]
    key = None if not key_values or all(v is None for v in key_values) else write_key(key_values)
    value_given = any(c.name in row for c in schema.stored)
    value = write_value([row.get(c.name) for c in schema.stored]) if value_given else None
    time = row.get(ROWTIME)
    if time is None:
        time = clock()
    if time < 0:
        raise inserting(source.name, f"Invalid timestamp: {time}")
    return OutputRecord(source.topic, key, value, time)


def _columns(source: DataSource, statement: ast.InsertValues) -> Sequence[Column]:
    if not statement.columns:
        headers = [c.name for c in source.schema.headers]
        if headers:
            raise KsqlError(f"Cannot insert into HEADER columns: {', '.join(headers)}")
        return [*source.schema.key, *source.schema.value]
    found = []
    for name in statement.columns:
        column = Column(ROWTIME, BIGINT) if name == ROWTIME else source.schema.find(name)
        if column is None:
            raise inserting(source.name, f"Column name `{name}` does not exist.")
        if column.header is not None:
            raise KsqlError(f"Cannot insert into HEADER columns: {name}")
        found.append(column)
    return found


def _value(source: DataSource, column: Column, expression: ast.Expression, config: Mapping[str, Any]) -> Any:
    """The constant value of an expression, as the column's type takes it."""
    try:
        for ref in column_refs(expression):
            raise inserting(source.name, f"Unsupported column reference in insert value: {ref.name}")
        compiler = Compiler(Scope((), config))
        code = compiler.compile(expression)
        value = compiler.env.function("value", "v", code.text)(())
        return None if value is None else _coerced(source, value, code.type, column)
    except ROW_ERRORS as error:
        shown = format_expression(expression)
        raise KsqlError(
            f"Could not insert {shown} into column `{column.name}` of type {column.type}: {error}"
        ) from error


def _coerced(target: DataSource, value: Any, source: SqlType | None, column: Column) -> Any:
    if source == column.type:
        return value
    try:
        return coerce_literal(value, source, column.type)
    except KsqlError:
        shown = value if source is None else renderer(source)(value)
        raise inserting(
            target.name,
            f"Expected type {type_text(column.type)} for field `{column.name}` but got {type_text(source)}({shown})",
        ) from None


def _wrong_count(statement: ast.InsertValues) -> KsqlError:
    values = "[" + ", ".join(format_expression(v) for v in statement.values) + "]"
    if statement.columns:
        columns = f"[{', '.join(statement.columns)}]"
        return inserting(statement.target, f"Expected number columns and values to match: {columns}, {values}")
    return inserting(statement.target, f"Expected a value for each column. Expected Columns: []. Got {values}")
