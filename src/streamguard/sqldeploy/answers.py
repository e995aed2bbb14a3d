"""What a ksqlDB server answers, as tables and texts for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from streamguard.sqldeploy.console import Part, SqlRefused, refusal

_LISTS = {
    "streams": "name topic keyFormat valueFormat isWindowed",
    "tables": "name topic keyFormat valueFormat isWindowed",
    "queries": "id queryType state sinks sinkKafkaTopics queryString",
    "topics": "name replicaInfo",
    "functions": "name type category",
    "properties": "name scope value",
    "connectors": "name type className state",
}


@dataclass(frozen=True)
class Block:
    """A table, or a text where it has no columns."""

    title: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    text: str = ""


def blocks_of(entity: dict[str, Any], part: Part) -> list[Block]:
    """One entity of /ksql. Raises SqlRefused for a command that failed."""
    if isinstance(status := entity.get("commandStatus"), dict):
        if status.get("status") == "ERROR":
            raise refusal(str(status.get("message")), part)
        return [Block("", text=str(status.get("message") or status.get("status")))]
    if entity.get("@type") == "describe_function":
        return _function(entity)
    for name, columns in _LISTS.items():
        if isinstance(entity.get(name), list):
            names = columns.split()
            return [Block(name, names, [[_listed(item.get(column)) for column in names] for item in entity[name]])]
    if isinstance(described := entity.get("sourceDescription"), dict):
        return _source(described)
    if isinstance(many := entity.get("sourceDescriptions"), list):
        return [block for one in many for block in _source(one)]
    if isinstance(query := entity.get("queryDescription"), dict):
        return _query(query)
    if isinstance(queries := entity.get("queryDescriptions"), list):
        return [block for one in queries for block in _query(one)]
    if isinstance(types := entity.get("types"), dict):
        return [Block("types", ["name", "type"], [[name, type_name(schema)] for name, schema in types.items()])]
    if isinstance(said := entity.get("message"), str):
        return [Block("", text=said)]
    rest = {name: value for name, value in entity.items() if name not in ("@type", "statementText", "warnings")}
    return [Block(str(entity.get("@type", "")), text=json.dumps(rest, indent=2, ensure_ascii=False))]


def type_name(schema: Any) -> str:
    """The type of a column as SQL has it."""
    if not isinstance(schema, dict):
        return str(schema or "")
    kind, given = str(schema.get("type")), schema.get("parameters") or {}
    if kind == "DECIMAL" and given:
        return f"DECIMAL({given.get('precision')}, {given.get('scale')})"
    if kind == "ARRAY":
        return f"ARRAY<{type_name(schema.get('memberSchema'))}>"
    if kind == "MAP":
        return f"MAP<STRING, {type_name(schema.get('memberSchema'))}>"
    if kind == "STRUCT":
        members = [f"{member.get('name')} {type_name(member.get('schema'))}" for member in schema.get("fields") or []]
        return f"STRUCT<{', '.join(members)}>"
    return kind


def columns_of_schema(schema: str) -> list[str]:
    """The names of the columns in a header's schema: ``\\`A\\` STRING KEY, \\`B\\` STRUCT<\\`C\\` INT>``."""
    names, depth, start, quoted = [], 0, 0, False
    for at, character in enumerate(f"{schema},"):
        if character == "`":
            quoted = not quoted
        elif not quoted and character in "<(":
            depth += 1
        elif not quoted and character in ">)":
            depth -= 1
        elif not quoted and character == "," and depth == 0:
            column = schema[start:at].strip()
            names.append(column.split("`")[1] if column.startswith("`") else column.split(" ")[0])
            start = at + 1
    return [name for name in names if name]


def row_event(line: str, part: Part) -> dict[str, Any] | None:
    """A line of /query as an event: `columns`, `row`, `said`; None for a line that has none. Raises SqlRefused.

    Numbers keep the digits that the server sent.
    """
    if part.word == "PRINT":
        return {"text": line, "is_row": line.startswith("rowtime")} if line.strip() else None
    words = line.strip().removeprefix("[").removesuffix("]" if line.rstrip().endswith("}]") else ",").strip()
    words = words.removesuffix(",")
    if not words.startswith("{"):
        return None
    found = json.loads(words, parse_float=_Digits)
    if "errorMessage" in found:
        raise refusal(_message(found["errorMessage"]), part)
    if "message" in found and "error_code" in found:
        raise refusal(str(found["message"]), part)
    if header := found.get("header"):
        return {"columns": columns_of_schema(str(header.get("schema", "")))}
    if row := found.get("row"):
        return {"row": [_cell(value) for value in row.get("columns", [])], "gone": bool(row.get("tombstone"))}
    if said := found.get("finalMessage"):
        return {"said": str(said)}
    return None


class _Digits(float):
    """A number that is written as it came."""

    def __new__(cls, digits: str) -> _Digits:
        made = super().__new__(cls, digits)
        made.digits = digits
        return made

    digits: str

    def __repr__(self) -> str:
        return self.digits


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    # Not json.dumps, whose C encoder writes a float by its value: the digits are lost.
    return _written(value)


def _listed(value: Any) -> str:
    """A field of a list: names side by side."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return _cell(value)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _source(described: dict[str, Any]) -> list[Block]:
    title = f"{described.get('name')} ({described.get('type')}, topic {described.get('topic')})"
    columns = [
        [str(column.get("name")), type_name(column.get("schema")), str(column.get("type") or "")]
        for column in described.get("fields") or []
    ]
    blocks = [Block(title, ["column", "type", "key"], columns)]
    if statement := described.get("statement"):
        blocks.append(Block("Made by", text=str(statement)))
    queries = [("reads it", q) for q in described.get("readQueries") or []]
    queries += [("writes it", q) for q in described.get("writeQueries") or []]
    if queries:
        rows = [[said, str(query.get("id")), str(query.get("state") or "")] for said, query in queries]
        blocks.append(Block("Queries", ["", "query", "state"], rows))
    return blocks


def _function(entity: dict[str, Any]) -> list[Block]:
    forms = []
    for form in entity.get("functions") or []:
        arguments = ", ".join(f"{a.get('name') or ''} {a.get('type')}".strip() for a in form.get("arguments") or [])
        forms.append(
            [f"({arguments})", str(form.get("returnType")), " ".join(str(form.get("description") or "").split())]
        )
    title = f"{entity.get('name')} ({entity.get('type')})"
    return [
        Block(title, text=str(entity.get("description") or "")),
        Block("Forms", ["arguments", "returns", ""], forms),
    ]


def _query(query: dict[str, Any]) -> list[Block]:
    facts = [["id", str(query.get("id") or "–")], ["state", str(query.get("state") or "–")]]
    facts += [
        ["sources", ", ".join(query.get("sources") or []) or "–"],
        ["sinks", ", ".join(query.get("sinks") or []) or "–"],
    ]
    if group := query.get("consumerGroupId"):
        facts.append(["consumer group", str(group)])
    blocks = [Block("Query", ["", ""], facts)]
    columns = [
        [str(c.get("name")), type_name(c.get("schema")), str(c.get("type") or "")] for c in query.get("fields") or []
    ]
    if columns:
        blocks.append(Block("Columns", ["column", "type", "key"], columns))
    for title, name in (("Statement", "statementText"), ("Execution plan", "executionPlan"), ("Topology", "topology")):
        if query.get(name):
            blocks.append(Block(title, text=str(query[name])))
    return blocks


__all__ = ["Block", "SqlRefused", "blocks_of", "columns_of_schema", "row_event", "type_name"]
