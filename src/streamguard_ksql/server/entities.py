"""The JSON of answers, one function per entity: from the engine's objects to ksqlDB's field names, in its order.

Source: docs/developer-guide/ksqldb-rest-api/ksql-endpoint.md, and answers recorded from ksqlDB's server 0.29.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamguard_ksql.catalog import DataSource
from streamguard_ksql.functions.registry import Function, Variant
from streamguard_ksql.runtime.api import EngineInfo, TopicInfo
from streamguard_ksql.schema import Column
from streamguard_ksql.server.properties import Setting
from streamguard_ksql.types import Array, Decimal, Map, SqlType, Struct

Entity = dict[str, Any]
VERSION = "0.29.0"
"""The version of ksqlDB whose API this is: clients look at it."""


def entity(kind: str, text: str, **content: Any) -> Entity:
    """An answer to a statement: its type, the statement, the content, and no warnings."""
    return {"@type": kind, "statementText": text, **content, "warnings": []}


# --- the server -------------------------------------------------------------------------------------------------------


def server_info(cluster_id: str, service_id: str, status: str) -> Entity:
    info = {"version": VERSION, "kafkaClusterId": cluster_id, "ksqlServiceId": service_id, "serverStatus": status}
    return {"KsqlServerInfo": info}


def cluster(cluster_id: str, service_id: str) -> Entity:
    clusters = {"kafka-cluster": cluster_id, "ksql-cluster": service_id}
    return {"scope": {"path": [], "clusters": clusters}, "id": ""}


def cluster_status(engines: Sequence[EngineInfo], now_ms: int) -> Entity:
    """Of /clusterStatus (docs/developer-guide/ksqldb-rest-api/cluster-status-endpoint.md), with the name of each engine."""
    return {"clusterStatus": {urlsplit(engine.address).netloc: _engine_status(engine, now_ms) for engine in engines}}


def _engine_status(engine: EngineInfo, now_ms: int) -> Entity:
    active = {
        query_id: {
            "activeStores": [],
            "activePartitions": [
                {"topic": topic, "partition": partition} for topic, numbers in share.items() for partition in numbers
            ],
            "standByStores": [],
            "standByPartitions": [],
        }
        for query_id, share in engine.queries.items()
    }
    return {
        "hostAlive": True,
        "lastStatusUpdateMs": now_ms,
        "activeStandbyPerQuery": active,
        "hostStoreLags": {"stateStoreLags": {}, "updateTimeMs": now_ms},
        "name": engine.name,
    }


def server_metadata(cluster_id: str, service_id: str) -> Entity:
    return {"version": VERSION, "clusterId": cluster(cluster_id, service_id)}


def health(checks: Mapping[str, bool]) -> Entity:
    details = {name: {"isHealthy": well} for name, well in checks.items()}
    return {"isHealthy": all(checks.values()), "details": details, "serverState": "READY"}


# --- commands ---------------------------------------------------------------------------------------------------------


def command_status(message: str, query_id: str | None, status: str = "SUCCESS") -> Entity:
    return {"status": status, "message": message, "queryId": query_id}


def current_status(text: str, command_id: str, status: Entity, sequence_number: int) -> Entity:
    return entity(
        "currentStatus", text, commandId=command_id, commandStatus=status, commandSequenceNumber=sequence_number
    )


def warning(text: str, message: str) -> Entity:
    return entity("warning_entity", text, message=message)


def terminated_query(text: str, query_id: str) -> Entity:
    return entity("terminate_query", text, queryId=query_id, wasTerminated=True)


def asserted_topic(text: str, topic: str, *, exists: bool) -> Entity:
    return entity("assert_topic", text, topicName=topic, exists=exists)


# --- schemas ----------------------------------------------------------------------------------------------------------


def schema_of(sql_type: SqlType) -> Entity:
    """A type as clients read it: its base, the fields of a STRUCT, the member of an ARRAY or MAP."""
    schema: Entity = {"type": sql_type.base, "fields": None, "memberSchema": None}
    match sql_type:
        case Struct(fields):
            schema["fields"] = [{"name": name, "schema": schema_of(field_type)} for name, field_type in fields]
        case Array(item):
            schema["memberSchema"] = schema_of(item)
        case Map(_, value):
            schema["memberSchema"] = schema_of(value)
        case Decimal(precision, scale):
            schema["parameters"] = {"precision": precision, "scale": scale}
    return schema


def fields_of(key: Iterable[Column], value: Iterable[Column]) -> list[Entity]:
    """Columns, those of the key first; key and header columns say what they are."""
    fields = [{"name": c.name, "schema": schema_of(c.type), "type": "KEY"} for c in key]
    for column in value:
        field = {"name": column.name, "schema": schema_of(column.type)}
        fields.append(field if column.header is None else _header_field(field, column.header))
    return fields


def _header_field(field: Entity, header: str) -> Entity:
    return field | {"type": "HEADER"} | ({"headerKey": header} if header else {})


# --- lists ------------------------------------------------------------------------------------------------------------


def source_list(text: str, kind: str, sources: Iterable[DataSource]) -> Entity:
    """SHOW STREAMS or SHOW TABLES, by name."""
    plural = f"{kind.lower()}s"
    return entity(plural, text, **{plural: [_source(s) for s in sorted(sources, key=lambda s: s.name)]})


def _source(source: DataSource) -> Entity:
    return {
        "type": source.kind,
        "name": source.name,
        "topic": source.topic,
        "keyFormat": source.key_format.name,
        "valueFormat": source.value_format.name,
        "isWindowed": source.window is not None,
    }


def topic_list(text: str, topics: Sequence[TopicInfo], *, extended: bool) -> Entity:
    rows = []
    for topic in sorted(topics, key=lambda t: t.name):
        row: Entity = {"name": topic.name, "replicaInfo": list(topic.replicas)}
        if extended:
            row |= {"consumerCount": topic.consumers, "consumerGroupCount": topic.groups}
        rows.append(row)
    return entity("kafka_topics_extended" if extended else "kafka_topics", text, topics=rows)


def function_list(text: str, functions: Iterable[Function]) -> Entity:
    rows = [{"name": f.name, "type": f.kind, "category": f.category} for f in functions]
    return entity("function_names", text, functions=rows)


def function_description(text: str, function: Function) -> Entity:
    return entity(
        "describe_function",
        text,
        name=function.name,
        description=function.description,
        author="StreamGuard",
        version="",
        path="internal",
        functions=[_variant(v, function.description) for v in function.variants],
        type=function.kind,
    )


def _variant(variant: Variant, description: str) -> Entity:
    signature = variant.signature
    arguments = [
        {"name": p.name, "type": str(p.type), "description": "", "isVariadic": p.variadic} for p in signature.parameters
    ]
    return {
        "arguments": arguments,
        "returnType": str(signature.returns),
        "description": description,
        "argumentTypes": [f"{p.type}..." if p.variadic else str(p.type) for p in signature.parameters],
    }


def property_list(
    text: str, values: Iterable[tuple[Setting, Any]], overridden: Sequence[str], defaults: Sequence[str]
) -> Entity:
    """SHOW PROPERTIES: settings with their values, the names that the session sets, and those that are not set."""
    rows = []
    for setting, value in values:
        shown = None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        row = {"name": setting.name, "scope": "KSQL", "value": shown}
        rows.append({**row, "editable": setting.editable, "level": setting.level})
    found = {"overwrittenProperties": list(overridden), "defaultProperties": list(defaults)}
    return entity("properties", text, properties=rows, **found)


def variable_list(text: str, variables: Mapping[str, str]) -> Entity:
    rows = [{"name": name, "value": value} for name, value in sorted(variables.items())]
    return entity("variables", text, variables=rows)


def type_list(text: str, types: Mapping[str, SqlType]) -> Entity:
    return entity("type_list", text, types={name: schema_of(types[name]) for name in sorted(types)})
