"""From CREATE STREAM/TABLE and CREATE ... AS SELECT to the sources they define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, TABLE, Catalog, DataSource, TimestampColumn, TopicFormat
from streamguard_ksql.ddl.properties import COMMON, SOURCE_ONLY, SourceProperties, check_names
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.plan import ProjectNode
from streamguard_ksql.planning.planner import PlannedQuery
from streamguard_ksql.refusals import PLANNING, accepted_before, preparing
from streamguard_ksql.schema import SYSTEM_COLUMNS, Column, Schema, columns_text, quoted_type, refuse_map_key
from streamguard_ksql.types import BIGINT, BYTES, STRING, TIMESTAMP, Array, Struct

HEADERS_TYPE = Array(Struct((("KEY", STRING), ("VALUE", BYTES))))


def source_from_create(statement: ast.CreateSource, catalog: Catalog, config: Mapping[str, Any]) -> DataSource:
    """The source of a CREATE STREAM or CREATE TABLE; KsqlError for whatever ksqlDB refuses about it."""
    check_names(statement.properties, COMMON | SOURCE_ONLY)
    properties = SourceProperties(statement.properties, config)
    stored = [c for c in statement.columns if c.constraint is None]
    key_format, value_format = properties.key_format(), properties.value_format(len(stored))
    schema = _schema(statement, catalog)
    topic = properties.text("KAFKA_TOPIC")
    if topic is None:
        raise preparing('Missing required property "KAFKA_TOPIC" which has no default value.')
    window = properties.window()
    if window is not None and not schema.key:
        raise KsqlError("Windowed sources require a key column.")
    source = DataSource(
        statement.name,
        statement.kind,
        schema,
        topic,
        key_format,
        value_format,
        window=window,
        timestamp=_timestamp(properties, schema),
        read_only=statement.is_source,
        partitions=properties.number("PARTITIONS"),
    )
    check_formats(source)
    properties.check_numbers()
    return source


def source_from_query(
    statement: ast.CreateAsSelect,
    planned: PlannedQuery,
    catalog: Catalog,
    config: Mapping[str, Any],
    query_id: str,
    normal: str,
) -> DataSource:
    """The source that a CREATE ... AS SELECT fills: formats from its WITH, else from the (first) source it reads.

    `normal` is the statement in normal form, which some refusals show.
    """
    check_names(statement.properties, COMMON)
    properties = SourceProperties(statement.properties, config)
    is_table = planned.is_table
    if is_table != (statement.kind == TABLE):
        made = TABLE if is_table else STREAM
        raise KsqlError(
            f"{PLANNING}Invalid result type. Your SELECT query produces a {made}. "
            f"Please use CREATE {made} AS SELECT statement instead.\nStatement: {normal}",
            statement=normal,
        )
    schema = planned.node.schema
    first = catalog.get(planned.source_names[0])
    source = DataSource(
        statement.name,
        statement.kind,
        schema,
        properties.text("KAFKA_TOPIC") or statement.name,
        _result_key_format(properties, first, schema, planned.key_changed),
        properties.value_format(len(schema.value), first.value_format),
        window=planned.window,
        timestamp=_timestamp(properties, schema),
        query_id=query_id,
        partitions=properties.number("PARTITIONS"),
    )
    check_formats(source)
    properties.check_numbers()
    return source


def _result_key_format(properties: SourceProperties, first: DataSource, schema: Schema, changed: bool) -> TopicFormat:
    if not schema.key:
        if properties.names_key_format and changed and properties.format_name("KEY") != "NONE":
            raise KsqlError("Key format specified for stream without key columns.")
        if changed:
            return TopicFormat("NONE")
        return properties.key_format(first.key_format)
    inherited = None if first.key_format.name == "NONE" else first.key_format
    return properties.key_format(inherited)


def check_timestamp_is_selected(statement: ast.CreateAsSelect) -> None:
    """Refuse a TIMESTAMP column that the SELECT list plainly does not have, before anything else is looked at."""
    wanted = statement.properties.get("TIMESTAMP")
    if wanted is None or not all(isinstance(i, ast.SelectItem) for i in statement.query.select):
        return
    names = {
        i.alias or getattr(i.expression, "name", "") for i in statement.query.select if isinstance(i, ast.SelectItem)
    }
    if _unquoted(str(wanted)) not in names:
        raise _no_timestamp(_unquoted(str(wanted)))


def _unquoted(name: str) -> str:
    return name[1:-1] if name.startswith("`") and name.endswith("`") else name.upper()


def _no_timestamp(name: str) -> KsqlError:
    return KsqlError(f"The TIMESTAMP column set in the WITH clause does not exist in the schema: '{name}'")


def fitted_to(planned: PlannedQuery, target: DataSource) -> PlannedQuery:
    """The query of an INSERT INTO with its columns as its target has them; KsqlError where they do not fit.

    Names, types and order must be the same: not even an INTEGER goes into a BIGINT.
    """
    result, sink = planned.node.schema, target.schema
    if accepted_before.get():
        return _widened(planned, target)
    if any([(c.name, c.type) for c in a] != [(c.name, c.type) for c in b] for a, b in _sides(result, sink)):
        raise KsqlError(
            f"Incompatible schema between results and sink.\nResult schema is {result}\nSink schema is {sink}"
        )
    assert isinstance(planned.node, ProjectNode)
    return replace(planned, node=replace(planned.node, schema=Schema(result.key, sink.value)))


def _widened(planned: PlannedQuery, target: DataSource) -> PlannedQuery:
    """A query that an earlier version accepted: its columns may be of types that widen to the target's."""
    node = planned.node
    assert isinstance(node, ProjectNode)
    pairs = zip(node.expressions, node.schema.value, target.schema.value, strict=True)
    expressions = tuple(e if have.type == want.type else ast.Cast(e, want.type) for e, have, want in pairs)
    schema = Schema(node.schema.key, target.schema.value)
    return replace(planned, node=replace(node, schema=schema, expressions=expressions))


def _sides(left: Schema, right: Schema) -> tuple[tuple[tuple[Column, ...], tuple[Column, ...]], ...]:
    return (left.key, right.key), (left.value, right.value)


# --- columns ----------------------------------------------------------------------------------------------------------


def _schema(statement: ast.CreateSource, catalog: Catalog) -> Schema:
    if not statement.columns:
        raise KsqlError("The statement does not define any columns.")
    key, value = [], []
    seen: set[str] = set()
    for definition in statement.columns:
        column = _column(definition, catalog)
        if column.name in seen:
            raise preparing(f"Duplicate column names: `{column.name}`")
        seen.add(column.name)
        if definition.constraint in ("KEY", "PRIMARY KEY"):
            _check_constraint(definition, statement)
            key.append(column)
        else:
            value.append(column)
    _refuse_repeated_headers([c for c in value if c.header is not None])
    if statement.kind == TABLE and not key:
        raise KsqlError("Tables require a PRIMARY KEY. Please define the PRIMARY KEY.")
    if statement.kind == TABLE and any(c.header is not None for c in value):
        raise KsqlError("Headers columns are only supported for streams.")
    return Schema(tuple(key), tuple(value))


def _refuse_repeated_headers(columns: Sequence[Column]) -> None:
    """There is one HEADERS column at most, and each header feeds one column."""
    seen: set[str | None] = set()
    for column in columns:
        if "" in seen or (column.header == "" and seen):
            raise KsqlError("Schema already contains a HEADERS column.")
        if column.header in seen:
            raise KsqlError(f"Schema already contains a HEADER('{column.header}') column.")
        seen.add(column.header)


def _column(definition: ast.ColumnDef, catalog: Catalog) -> Column:
    if definition.name in SYSTEM_COLUMNS:
        raise KsqlError(f"'{definition.name}' is a reserved column name. You cannot use it as a name for a column.")
    sql_type = catalog.resolve(definition.type)
    if definition.constraint == "HEADERS":
        if sql_type != HEADERS_TYPE:
            raise preparing(
                f"Invalid type for HEADERS column: expected {quoted_type(HEADERS_TYPE)}, got {quoted_type(sql_type)}"
            )
        return Column(definition.name, sql_type, "")
    if definition.constraint == "HEADER":
        if sql_type != BYTES:
            raise preparing(
                f"Invalid type for HEADER('{definition.header_key}') column: expected BYTES, got {quoted_type(sql_type)}"
            )
        return Column(definition.name, sql_type, definition.header_key)
    return Column(definition.name, sql_type)


def _check_constraint(definition: ast.ColumnDef, statement: ast.CreateSource) -> None:
    if statement.kind == STREAM and definition.constraint == "PRIMARY KEY":
        raise KsqlError(f"Column `{definition.name}` is a 'PRIMARY KEY' column: please use 'KEY' for streams.")
    if statement.kind == TABLE and definition.constraint == "KEY":
        raise KsqlError(f"Column `{definition.name}` is a 'KEY' column: please use 'PRIMARY KEY' for tables.")


def check_formats(source: DataSource) -> None:
    """Refuse a source whose columns its formats cannot carry."""
    for column in source.schema.key:
        refuse_map_key(column)
    _check_format("Key", source.key_format, source.schema.key, key=True)
    _check_format("Value", source.value_format, source.schema.stored, key=False)


def _check_format(what: str, topic_format: TopicFormat, columns: Sequence[Column], *, key: bool) -> None:
    try:
        find_format(topic_format.name).check(columns, topic_format.options, key=key)
    except KsqlError as error:
        listed = columns_text(columns, key=key)
        features = _features(topic_format.options)
        raise KsqlError(
            f"{what} format does not support schema.\nformat: {topic_format.name}\n"
            f"schema: Persistence{{columns={listed}, features={features}}}\nreason: {error.message}"
        ) from None


def _features(options: FormatOptions) -> str:
    return "[]" if options.wrap is None else "[WRAP_SINGLES]" if options.wrap else "[UNWRAP_SINGLES]"


def _timestamp(properties: SourceProperties, schema: Schema) -> TimestampColumn | None:
    name = properties.text("TIMESTAMP")
    pattern = properties.timestamp_format()
    if name is None:
        return None
    name = _unquoted(name)
    column = schema.find(name)
    if column is None:
        raise _no_timestamp(name)
    if column.type in (BIGINT, TIMESTAMP) and pattern is None:
        return TimestampColumn(name)
    if column.type == STRING and pattern is not None:
        return TimestampColumn(name, pattern)
    if pattern is not None:
        raise KsqlError(
            "'TIMESTAMP_FORMAT' set in the WITH clause can only be used when the timestamp column is of type STRING."
        )
    if column.type == STRING:
        raise KsqlError("A String timestamp field has been specified without also specifying the timestamp_format")
    raise KsqlError(
        f"Timestamp column, `{name}`, should be LONG(INT64), TIMESTAMP, or a String with a timestamp_format specified."
    )
