"""The statements of `/ksql` that only look: SHOW, DESCRIBE, EXPLAIN, ASSERT."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, TABLE, DataSource
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.registry import FUNCTIONS
from streamguard_ksql.schema import Schema
from streamguard_ksql.server import descriptions, entities
from streamguard_ksql.server.descriptions import Describer
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import ASSERTION_FAILED, RestError
from streamguard_ksql.server.properties import STREAMS_PREFIX, Setting, overridden, settings
from streamguard_ksql.server.statements import Context, handles

ASSERT_TIMEOUT = "ksql.assert.topic.default.timeout.ms"
ASSERT_POLL_S = 0.1
HIDDEN_TOPICS = "ksql.hidden.topics"
INTERNAL_PREFIX = "_confluent-ksql-"


def _describer(context: Context) -> Describer:
    server = context.server
    return Describer(server.runtime.engine, server.runtime.stats, server.host, server.clock_ms())


# --- SHOW -------------------------------------------------------------------------------------------------------------


@handles(ast.ListStreams)
def _streams(statement: ast.ListStreams, context: Context) -> list[Entity]:
    return [_sources(statement.text, STREAM, context, extended=statement.extended)]


@handles(ast.ListTables)
def _tables(statement: ast.ListTables, context: Context) -> list[Entity]:
    return [_sources(statement.text, TABLE, context, extended=statement.extended)]


@handles(ast.DescribeSources)
def _describe_sources(statement: ast.DescribeSources, context: Context) -> list[Entity]:
    return [_descriptions(statement.text, statement.kind, context, extended=statement.extended)]


def _sources(text: str, kind: str, context: Context, *, extended: bool) -> Entity:
    if extended:
        return _descriptions(text, kind, context, extended=True)
    with context.runtime.lock:
        return entities.source_list(text, kind, context.runtime.engine.catalog.of_kind(kind))


def _descriptions(text: str, kind: str, context: Context, *, extended: bool) -> Entity:
    with context.runtime.lock:
        describer = _describer(context)
        found = sorted(context.runtime.engine.catalog.of_kind(kind), key=lambda s: s.name)
        return descriptions.described_sources(text, [describer.source(s, extended=extended) for s in found])


@handles(ast.ListTopics)
def _topics(statement: ast.ListTopics, context: Context) -> list[Entity]:
    topics = context.runtime.topics(extended=statement.extended)
    if not statement.all:
        hidden = _hidden_topics(context)
        topics = [t for t in topics if not t.name.startswith(INTERNAL_PREFIX) and not hidden.fullmatch(t.name)]
    return [entities.topic_list(statement.text, topics, extended=statement.extended)]


def _hidden_topics(context: Context) -> re.Pattern[str]:
    configured = context.runtime.config_value(HIDDEN_TOPICS) or settings()[HIDDEN_TOPICS].default or ""
    return re.compile("|".join(f"(?:{pattern.strip()})" for pattern in str(configured).split(",")))


@handles(ast.ListQueries)
def list_queries(statement: ast.ListQueries, context: Context) -> list[Entity]:
    with context.runtime.lock:
        describer = _describer(context)
        persistent = [q for _, q in sorted(context.runtime.engine.queries.items())]
        if statement.extended:
            return [descriptions.described_queries(statement.text, [describer.query(q) for q in persistent])]
        rows = [describer.running(q) for q in persistent]
        warnings = describer.failures(persistent)
    rows += [descriptions.push_query(q.query_id, q.text) for q in context.server.open_queries()]
    return [{**entities.entity("queries", statement.text, queries=rows), "warnings": warnings}]


@handles(ast.ListFunctions)
def _functions(statement: ast.ListFunctions, context: Context) -> list[Entity]:
    return [entities.function_list(statement.text, [FUNCTIONS[name] for name in sorted(FUNCTIONS)])]


@handles(ast.ListProperties)
def _properties(statement: ast.ListProperties, context: Context) -> list[Entity]:
    own = [Setting(name, None, editable=True, level="QUERY") for name in context.properties if name not in settings()]
    values: list[tuple[Setting, Any]] = []
    defaults = []
    for setting in (*settings().values(), *own):
        value: Any = overridden(setting.name, context.properties)
        if value is None:
            value = context.runtime.config_value(setting.name)
        if value is None:
            value = _own(setting.name, context)
        if value is None and not setting.name.startswith(STREAMS_PREFIX):
            defaults.append(setting.name)
        values.append((setting, setting.default if value is None else value))
    return [entities.property_list(statement.text, values, list(context.properties), defaults)]


def _own(name: str, context: Context) -> str | None:
    """The settings that have a default."""
    if name == "ksql.service.id":
        return context.runtime.service_id
    return f"http://{context.server.host}" if name == "ksql.streams.application.server" else None


@handles(ast.ListVariables)
def _variables(statement: ast.ListVariables, context: Context) -> list[Entity]:
    return [entities.variable_list(statement.text, context.variables)]


@handles(ast.ListTypes)
def _types(statement: ast.ListTypes, context: Context) -> list[Entity]:
    with context.runtime.lock:
        return [entities.type_list(statement.text, dict(context.runtime.engine.catalog.types))]


# --- DESCRIBE, EXPLAIN ------------------------------------------------------------------------------------------------


@handles(ast.DescribeSource)
def _describe(statement: ast.DescribeSource, context: Context) -> list[Entity]:
    with context.runtime.lock:
        source = _source(statement.name, context)
        description = _describer(context).source(source, extended=statement.extended)
    return [descriptions.described_source(statement.text, description)]


def _source(name: str, context: Context) -> DataSource:
    catalog = context.runtime.engine.catalog
    source = catalog.find(name)
    if source is None:
        raise KsqlError(f"Could not find STREAM/TABLE '{name}' in the Metastore{catalog.hint(name)}")
    return source


@handles(ast.DescribeFunction)
def _describe_function(statement: ast.DescribeFunction, context: Context) -> list[Entity]:
    function = FUNCTIONS.get(statement.name.upper())
    if function is None:
        raise KsqlError(f"Can't find any functions with the name '{statement.name}'")
    return [entities.function_description(statement.text, function)]


@handles(ast.Explain)
def _explain(statement: ast.Explain, context: Context) -> list[Entity]:
    if statement.statement is not None:
        return [_explained(statement, statement.statement, context)]
    with context.runtime.lock:
        query = context.runtime.engine.queries.get(statement.query_id or "")
        if query is None:
            raise KsqlError(
                f"Query with id:{statement.query_id} does not exist, use SHOW QUERIES to view the full set of queries."
            )
        return [descriptions.described_query(statement.text, _describer(context).query(query))]


def _explained(statement: ast.Explain, inner: ast.Statement, context: Context) -> Entity:
    query = getattr(inner, "query", None)
    if not isinstance(query, ast.Query):
        raise KsqlError("The provided statement does not run a ksql query")
    node, columns = context.runtime.explain(query, context.properties)
    name = query.source.name if isinstance(query.source, ast.Source) else "JOIN"
    query_id = f"transient_{name}_{uuid.uuid4().int % 10**19}"
    group = f"{INTERNAL_PREFIX}{context.runtime.service_id}transient_{query_id}_{context.server.clock_ms()}"
    described = descriptions.explained(query_id, inner.text, node, columns, context.properties, group)
    return descriptions.described_query(statement.text, described)


# --- ASSERT -----------------------------------------------------------------------------------------------------------


@handles(ast.AssertTopic)
def _assert_topic(statement: ast.AssertTopic, context: Context) -> list[Entity]:
    """Wait for a topic to be there (or not to be) as described; 417 if it is not within the timeout."""
    configured = context.runtime.config_value(ASSERT_TIMEOUT) or settings()[ASSERT_TIMEOUT].default or 0
    timeout_ms = int(configured) if statement.timeout is None else statement.timeout.ms
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        difference = _topic_difference(statement, context)
        if difference is None:
            return [entities.asserted_topic(statement.text, statement.topic, exists=statement.exists)]
        if time.monotonic() >= deadline:
            raise RestError(difference, code=ASSERTION_FAILED, statement=statement.text)
        time.sleep(ASSERT_POLL_S)


def _topic_difference(statement: ast.AssertTopic, context: Context) -> str | None:
    found = next((t for t in context.runtime.topics(extended=False) if t.name == statement.topic), None)
    if not statement.exists:
        return None if found is None else f"Topic {statement.topic} exists"
    if found is None:
        return f"Topic {statement.topic} does not exist"
    actual = {"PARTITIONS": len(found.replicas), "REPLICAS": found.replicas[0] if found.replicas else 0}
    wrong = []
    for name, expected in statement.properties.items():
        if name not in actual:
            wrong.append(f"Cannot assert unknown topic property: {name}")
        elif actual[name] != int(expected):
            wrong.append(
                f"Mismatched configuration for topic {statement.topic}: For config {name.lower()}, expected {expected} "
                f"got {actual[name]}"
            )
    return "\n".join(wrong) or None


@handles(ast.AssertSource)
def _assert_source(statement: ast.AssertSource, context: Context) -> list[Entity]:
    """Compare a source with what the statement says of it; no entity says that all is well, as for INSERT VALUES."""
    with context.runtime.lock:
        source = _source(statement.name, context)
        catalog = context.runtime.engine.catalog
        columns = [(c.name, catalog.resolve(c.type), c.constraint) for c in statement.columns]
    difference = _source_difference(statement, source, columns)
    if difference is not None:
        raise RestError(difference, code=ASSERTION_FAILED, statement=statement.text)
    return []


def _source_difference(statement: ast.AssertSource, source: DataSource, columns: list[Any]) -> str | None:
    if source.kind != statement.kind:
        return f"Expected {statement.name} to be a {statement.kind}, but it is a {source.kind}."
    expected = ", ".join(f"`{n}` {t}{' KEY' if c in ('KEY', 'PRIMARY KEY') else ''}" for n, t, c in columns)
    actual = str(Schema(source.schema.key, source.schema.value))
    if columns and expected != actual:
        return f"Expected the schema of {statement.name} to be {expected}, but it is {actual}."
    known = {
        "KAFKA_TOPIC": source.topic,
        "KEY_FORMAT": source.key_format.name,
        "VALUE_FORMAT": source.value_format.name,
        "PARTITIONS": source.partitions,
    }
    for name, expected in statement.properties.items():
        if name in known and str(known[name]).upper() != str(expected).upper():
            return f"Expected {name} of {statement.name} to be {expected}, but it is {known[name]}."
    return None
