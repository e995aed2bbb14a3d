"""Entities of `/ksql` as text: for each type a function; a type that has none is shown as JSON.

Source: the entities as docs/developer-guide/ksqldb-rest-api/ksql-endpoint.md has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamguard_ksql.shell.client import Digits
from streamguard_ksql.shell.tables import draw_list
from streamguard_ksql.visible import visible

Entity = Mapping[str, Any]
Renderer = Callable[[Entity, "int | None"], list[str]]
RENDERERS: dict[str, Renderer] = {}


def renders(*kinds: str) -> Callable[[Renderer], Renderer]:
    def register(renderer: Renderer) -> Renderer:
        for kind in kinds:
            RENDERERS[kind] = renderer
        return renderer

    return register


def render(entity: Entity, width: int | None) -> list[str]:
    """The lines of an entity, its warnings last."""
    renderer = RENDERERS.get(str(entity.get("@type")))
    drawn = to_json(entity) if renderer is None else renderer(entity, width)
    warnings = [f"WARNING: {w.get('message', w)}" for w in entity.get("warnings") or ()]
    return [line for text in (*drawn, *warnings) for line in text.split("\n")]


def to_json(value: Any) -> list[str]:
    """A value as indented JSON."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False).split("\n")


def _plain(value: Any) -> Any:
    """Numbers kept as digits, as numbers again."""
    if isinstance(value, Digits):
        return float(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def cell(value: Any) -> str:
    """A value in a table: structures as ksqlDB's shell shows them, `{A=1, B=[2, 3]}`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}={cell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(cell, value)) + "]"
    return str(value)


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> list[str]:
    return draw_list(headers, [[visible(cell(v)) for v in row] for row in rows], width)


def _message(text: str, width: int | None) -> list[str]:
    return _table(["Message"], [[text]], width)


# --- commands ---------------------------------------------------------------------------------------------------------


@renders("currentStatus")
def _status(entity: Entity, width: int | None) -> list[str]:
    return _message(entity["commandStatus"]["message"], width)


@renders("warning_entity")
def _warning(entity: Entity, width: int | None) -> list[str]:
    return _message(entity["message"], width)


@renders("terminate_query")
def _terminated(entity: Entity, width: int | None) -> list[str]:
    return _message(f"Query {entity['queryId']} terminated.", width)


@renders("assert_topic")
def _asserted(entity: Entity, width: int | None) -> list[str]:
    return _message(f"Topic {entity['topicName']} {'exists' if entity['exists'] else 'does not exist'}.", width)


# --- lists ------------------------------------------------------------------------------------------------------------


@renders("streams")
def _streams(entity: Entity, width: int | None) -> list[str]:
    rows = [_source_row(s) for s in entity["streams"]]
    return _table(["Stream Name", "Kafka Topic", "Key Format", "Value Format", "Windowed"], rows, width)


@renders("tables")
def _tables(entity: Entity, width: int | None) -> list[str]:
    rows = [_source_row(s) for s in entity["tables"]]
    return _table(["Table Name", "Kafka Topic", "Key Format", "Value Format", "Windowed"], rows, width)


def _source_row(source: Entity) -> list[Any]:
    return [source.get(name) for name in ("name", "topic", "keyFormat", "valueFormat", "isWindowed")]


@renders("kafka_topics", "kafka_topics_extended")
def _topics(entity: Entity, width: int | None) -> list[str]:
    headers = ["Kafka Topic", "Partitions", "Partition Replicas"]
    extended = entity["@type"] == "kafka_topics_extended"
    rows = []
    for topic in entity["topics"]:
        replicas = topic["replicaInfo"]
        shown = replicas[0] if len(set(replicas)) == 1 else ", ".join(map(str, replicas))
        row = [topic["name"], len(replicas), shown]
        rows.append([*row, topic["consumerCount"], topic["consumerGroupCount"]] if extended else row)
    return _table([*headers, "Consumers", "ConsumerGroups"] if extended else headers, rows, width)


@renders("queries")
def _queries(entity: Entity, width: int | None) -> list[str]:
    rows = [
        [
            query["id"],
            query.get("queryType"),
            _counts(query.get("statusCount")),
            ", ".join(query.get("sinks") or ()),
            ", ".join(query.get("sinkKafkaTopics") or ()),
            " ".join(query["queryString"].split()),
        ]
        for query in entity["queries"]
    ]
    lines = _table(["Query ID", "Query Type", "Status", "Sink Name", "Sink Kafka Topic", "Query String"], rows, width)
    return [*lines, "For detailed information on a Query run: EXPLAIN <Query ID>;"]


def _counts(counts: Any) -> str:
    return ", ".join(f"{state}:{count}" for state, count in (counts or {}).items())


@renders("function_names")
def _functions(entity: Entity, width: int | None) -> list[str]:
    rows = [
        [f["name"], f.get("category", f["type"])] for f in sorted(entity["functions"], key=lambda f: str(f["name"]))
    ]
    lines = _table(["Function Name", "Category"], rows, width)
    return [*lines, "For detailed information about a function, run: DESCRIBE FUNCTION <Function Name>;"]


@renders("properties")
def _properties(entity: Entity, width: int | None) -> list[str]:
    found = sorted(entity["properties"], key=lambda p: str(p["name"]))
    rows = [[p["name"], p.get("level") or "", "" if p["value"] is None else p["value"]] for p in found]
    return _table(["Property", "Level", "Value"], rows, width)


@renders("variables")
def _variables(entity: Entity, width: int | None) -> list[str]:
    return _table(["Variable Name", "Value"], [[v["name"], v["value"]] for v in entity["variables"]], width)


@renders("type_list")
def _types(entity: Entity, width: int | None) -> list[str]:
    rows = [[name, type_text(schema)] for name, schema in entity["types"].items()]
    return _table(["Type Name", "Schema"], rows, width)


# --- descriptions -----------------------------------------------------------------------------------------------------


def type_text(schema: Entity) -> str:
    """A schema object as a type."""
    base = str(schema["type"])
    if base == "ARRAY":
        return f"ARRAY<{type_text(schema['memberSchema'])}>"
    if base == "MAP":
        return f"MAP<STRING, {type_text(schema['memberSchema'])}>"
    if base == "STRUCT":
        return f"STRUCT<{', '.join(f['name'] + ' ' + type_text(f['schema']) for f in schema['fields'])}>"
    if base == "DECIMAL" and schema.get("parameters"):
        parameters = schema["parameters"]
        return f"DECIMAL({parameters.get('precision')}, {parameters.get('scale')})"
    return "VARCHAR(STRING)" if base == "STRING" else base


def _fields(entity: Entity, width: int | None) -> list[str]:
    is_table = entity.get("type") == "TABLE"
    rows = []
    for field in entity["fields"]:
        mark = {"KEY": "  (primary key)" if is_table else "  (key)", "HEADER": "  (header)"}.get(
            field.get("type", ""), ""
        )
        if mark and is_table and entity.get("windowType"):
            mark += f" (Window type: {entity['windowType']})"
        rows.append([field["name"], type_text(field["schema"]) + mark])
    return _table(["Field", "Type"], rows, width)


def _pairs(*pairs: tuple[str, Any]) -> list[str]:
    return [f"{name:<20} : {cell(value)}" for name, value in pairs if value not in (None, "")]


@renders("sourceDescription")
def _source(entity: Entity, width: int | None) -> list[str]:
    return _source_text(entity["sourceDescription"], width)


@renders("source_descriptions")
def _sources(entity: Entity, width: int | None) -> list[str]:
    lines: list[str] = []
    for description in entity["sourceDescriptions"]:
        lines += [*_source_text(description, width), ""]
    return lines[:-1]


def _source_text(source: Entity, width: int | None) -> list[str]:
    if not source.get("extended"):
        hint = "For runtime statistics and query details run: DESCRIBE <Stream,Table> EXTENDED;"
        return [*_pairs(("Name", source["name"])), *_fields(source, width), hint]
    lines = _pairs(
        ("Name", source["name"]),
        ("Type", source["type"]),
        ("Timestamp field", source.get("timestamp") or "Not set - using <ROWTIME>"),
        ("Key format", source.get("keyFormat")),
        ("Value format", source.get("valueFormat")),
        (
            "Kafka topic",
            f"{source['topic']} (partitions: {source['partitions']}, replication: {source['replication']})",
        ),
        ("Statement", source.get("statement")),
    )
    lines += ["", *_fields(source, width)]
    for title, name in (("Sources that have a DROP constraint on this source", "sourceConstraints"),):
        if source.get(name):
            lines += ["", title, "-" * len(title), *source[name]]
    lines += _query_lines("Queries that read from this " + source["type"], source.get("readQueries"))
    lines += _query_lines("Queries that write from this " + source["type"], source.get("writeQueries"))
    lines += ["", "Local runtime statistics", "------------------------"]
    lines += [line for line in (source.get("statistics") or "").split("\n")[-1:] if line]
    lines += [source["errorStats"]] if source.get("errorStats") else []
    return lines + _offset_lines(source.get("queryOffsetSummaries"), width)


def _query_lines(title: str, queries: Any) -> list[str]:
    if not queries:
        return []
    lines = ["", title, "-" * len(title)]
    return lines + [f"{q['id']} ({q.get('state')}) : {q['queryString']}" for q in queries]


def _offset_lines(summaries: Any, width: int | None) -> list[str]:
    lines: list[str] = []
    for group in summaries or ():
        for topic in group["topicSummaries"]:
            lines += ["", f"Consumer group {group['groupId']}, topic {topic['kafkaTopic']}:"]
            rows = [_offset_row(o) for o in topic["offsets"]]
            lines += _table(["Partition", "Start Offset", "End Offset", "Offset", "Lag"], rows, width)
    return lines


def _offset_row(place: Entity) -> list[int]:
    start, end, offset = place["logStartOffset"], place["logEndOffset"], place["consumerOffset"]
    return [place["partition"], start, end, offset, end - offset]


@renders("queryDescription")
def _query(entity: Entity, width: int | None) -> list[str]:
    return _query_text(entity["queryDescription"], width)


@renders("query_descriptions")
def _query_list(entity: Entity, width: int | None) -> list[str]:
    lines: list[str] = []
    for description in entity["queryDescriptions"]:
        lines += [*_query_text(description, width), ""]
    return lines[:-1]


def _query_text(query: Entity, width: int | None) -> list[str]:
    lines = _pairs(
        ("ID", query["id"]),
        ("Query Type", query.get("queryType")),
        ("SQL", query["statementText"]),
        ("Host Query Status", query.get("ksqlHostQueryStatus") or None),
        ("Sources", ", ".join(query["sources"])),
        ("Sinks", ", ".join(query["sinks"])),
    )
    lines += ["", *_fields(query, width)]
    for title, name in (("Execution plan", "executionPlan"), ("Processing topology", "topology")):
        if query.get(name):
            lines += ["", title, "-" * len(title), *str(query[name]).rstrip("\n").split("\n")]
    overrides = query.get("overriddenProperties") or {}
    if overrides:
        lines += ["", "Overridden Properties", *_table(["Property", "Value"], sorted(overrides.items()), width)]
    return lines


@renders("describe_function")
def _function(entity: Entity, width: int | None) -> list[str]:
    lines = _pairs(("Name", entity["name"]), ("Author", entity.get("author")), ("Version", entity.get("version")))
    lines += _pairs(("Overview", entity.get("description")), ("Type", entity.get("type")), ("Jar", entity.get("path")))
    lines.append("Variations           : ")
    for variant in entity["functions"]:
        arguments = ", ".join(
            f"{a['name']} {a['type']}{'...' if a.get('isVariadic') else ''}".strip() for a in variant["arguments"]
        )
        lines += ["", f"\tVariation   : {entity['name']}({arguments})", f"\tReturns     : {variant['returnType']}"]
        if variant.get("description"):
            lines.append(f"\tDescription : {variant['description']}")
    return lines
