"""Runs a case: feeds its inputs and compares its outputs; a difference says what and where."""

from __future__ import annotations

import base64
import decimal
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streamguard_ksql.catalog import DataSource, WindowInfo
from streamguard_ksql.engine import Engine
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formats import find_format
from streamguard_ksql.formats import json as json_format
from streamguard_ksql.formats.base import FormatOptions
from streamguard_ksql.java import double_to_decimal
from streamguard_ksql.operators.keys import split_windowed_key, windowed_key
from streamguard_ksql.operators.record import Headers, OutputRecord
from streamguard_ksql.parser import parse_schema
from streamguard_ksql.schema import Column
from streamguard_ksql.testing.cases import Case
from streamguard_ksql.testing.harness import Harness, Hook


class Ran(Protocol):
    """An engine that ran a case, and what its queries wrote."""

    engine: Engine
    written: list[OutputRecord]


class Difference(Exception):
    """What a case expects and what the queries wrote differ."""


def run_case(case: Case, after_each_input: Hook | None = None) -> None:
    """Run a case; Difference where it fails."""
    harness = Harness(dict(case.properties))
    try:
        for topic in case.topics:
            if isinstance(topic, Mapping) and "partitions" in topic:
                harness.topics.declare(str(topic.get("name")), int(topic["partitions"]))
        harness.run_script("\n".join(case.statements))
        for entry in case.inputs:
            harness.feed(input_record(harness, entry))
        harness.settle(after_each_input)
    except KsqlError as error:
        _check_refusal(case, error)
        return
    if case.is_refusal:
        if harness.failures:
            _check_refusal(case, harness.failures[0])
            return
        raise Difference(f"expected to be refused with: {case.expected_message}")
    check_outputs(harness, case.outputs or (), strict=case.outputs == ())
    for source in case.sources:
        _check_source(harness, source)


def _check_refusal(case: Case, error: Exception) -> None:
    text = str(error)
    statement = getattr(error, "statement", None)
    if statement:
        text += f"\nStatement: {statement}"
    if not case.is_refusal:
        raise Difference(f"refused: {text}") from error
    if (case.expected_message or "") not in text:
        raise Difference(f"refused with: {text}\n  expected: {case.expected_message}") from error


# --- inputs -----------------------------------------------------------------------------------------------------------


def input_record(harness: Ran, entry: Mapping[str, Any]) -> OutputRecord:
    """An input of a case as the bytes that a producer would send, in the formats of the first source on its topic."""
    topic = entry["topic"]
    source = next((s for s in harness.engine.catalog.sources.values() if s.topic == topic), None)
    key, value = entry.get("key"), entry.get("value")
    if source is None:
        key_bytes, value_bytes = _json_bytes(key), _json_bytes(value)
    else:
        key_bytes = encode_side(key, source.key_format.name, source.schema.key, source.key_format.options, key=True)
        value_bytes = encode_side(
            value, source.value_format.name, source.schema.stored, source.value_format.options, key=False
        )
        window = entry.get("window")
        if window and key_bytes is not None:
            info = source.window or WindowInfo("SESSION" if window["type"].lower() == "session" else "TUMBLING")
            key_bytes = windowed_key(key_bytes, (window["start"], window["end"]), info)
    return OutputRecord(topic, key_bytes, value_bytes, int(entry.get("timestamp") or 0), _headers(entry.get("headers")))


def encode_side(
    data: Any, format_name: str, columns: Sequence[Column], options: FormatOptions, *, key: bool
) -> bytes | None:
    """A key or a value of a case as bytes: JSON as its text, DELIMITED as it is, KAFKA by the column's type."""
    if data is None:
        return None
    if format_name == "JSON":
        return _json_bytes(data)
    if format_name == "DELIMITED":
        return (data if isinstance(data, str) else _json_text(data)).encode()
    if format_name == "NONE" or not columns:
        return _json_bytes(data)
    if find_format(format_name).supports_multiple_columns:
        given = data if isinstance(data, dict) else {columns[0].name: data}
        row = [_sql_value(given, column) for column in columns]
        return find_format(format_name).serializer(columns, options, key=key)(row)
    column = columns[0]
    if isinstance(data, dict):
        data = next(iter(data.values()), None)
    if column.type.base == "BYTES" and isinstance(data, str):
        data = base64.b64decode(data)
    if column.type.base == "DOUBLE" and data is not None:
        data = float(data)
    if column.type.base == "STRING" and not isinstance(data, str):
        data = _json_text(data)
    return find_format(format_name).serializer(columns[:1], options, key=key)([data])


def _sql_value(given: Mapping[str, Any], column: Column) -> Any:
    """The value of a column in a case's JSON, whose names may be in any case."""
    upper = {name.upper(): value for name, value in given.items()}
    value = given.get(column.name, upper.get(column.name))
    return None if value is None else json_format.reader(column.type)(value)


def _headers(entries: Sequence[Mapping[str, Any]] | None) -> Headers:
    found = []
    for entry in entries or ():
        value = entry.get("VALUE")
        found.append((entry["KEY"], None if value is None else base64.b64decode(value)))
    return found


def _json_bytes(data: Any) -> bytes | None:
    return None if data is None else _json_text(data).encode()


def _json_text(data: Any) -> str:
    """JSON text in which decimals keep their digits."""
    if isinstance(data, decimal.Decimal):
        return str(data)
    if isinstance(data, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_json_text(v)}" for k, v in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ",".join(map(_json_text, data)) + "]"
    return json.dumps(data, ensure_ascii=False)


# --- outputs ----------------------------------------------------------------------------------------------------------


def check_outputs(harness: Ran, expected: Sequence[Mapping[str, Any]], *, strict: bool) -> None:
    """Compare, topic by topic, what queries wrote with what was expected; `strict` allows nothing else."""
    by_topic: dict[str, list[Mapping[str, Any]]] = {}
    for entry in expected:
        by_topic.setdefault(entry["topic"], []).append(entry)
    for topic, entries in by_topic.items():
        actual = [r for r in harness.written if r.topic == topic]
        shown = [show(harness, r) for r in actual]
        for i, entry in enumerate(entries):
            if i >= len(actual):
                raise Difference(f"{topic}: {len(entries)} records expected, {len(actual)} came: {shown}")
            problem = _compare(harness, entry, actual[i])
            if problem:
                raise Difference(f"{topic}, record {i}: {problem}; came: {shown}")
        if len(actual) > len(entries):
            raise Difference(f"{topic}: {len(entries)} records expected, {len(actual)} came: {shown}")
    if strict and harness.written:
        raise Difference(f"no records expected, came: {[show(harness, r) for r in harness.written]}")


def _compare(harness: Ran, expected: Mapping[str, Any], actual: OutputRecord) -> str | None:
    """What is wrong with a record, or None. A topic that several sources describe may be read through any of them."""
    sources = [s for s in harness.engine.catalog.sources.values() if s.topic == actual.topic]
    problems = [_compare_as(source, expected, actual) for source in sources]
    return None if not problems or None in problems else problems[0]


def _compare_as(source: DataSource, expected: Mapping[str, Any], actual: OutputRecord) -> str | None:
    window = expected.get("window")
    key_bytes, bounds = actual.key, None
    if source.window is not None and key_bytes is not None:
        key_bytes, bounds = split_windowed_key(key_bytes, source.window)
    key = decode_side(key_bytes, source.key_format.name, source.schema.key, source.key_format.options, key=True)
    if not same(expected.get("key"), key):
        return f"key {key!r} is not {expected.get('key')!r}"
    value = decode_side(
        actual.value, source.value_format.name, source.schema.stored, source.value_format.options, key=False
    )
    if not same(expected.get("value"), value):
        return f"value {value!r} is not {expected.get('value')!r}"
    if expected.get("timestamp") is not None and expected["timestamp"] != actual.time:
        return f"timestamp {actual.time} is not {expected['timestamp']}"
    if window and bounds != (window["start"], window["end"]):
        return f"window {bounds} is not {(window['start'], window['end'])}"
    if "headers" in expected and list(_headers(expected["headers"])) != list(actual.headers):
        return f"headers {list(actual.headers)} are not {expected['headers']}"
    return None


def decode_side(
    data: bytes | None, format_name: str, columns: Sequence[Column], options: FormatOptions, *, key: bool
) -> Any:
    """The bytes of a key or value in the form that cases are written in."""
    if data is None or format_name == "NONE":
        return None
    if format_name == "JSON":
        return json.loads(data, parse_float=decimal.Decimal)
    if format_name == "DELIMITED":
        return data.decode()
    if not columns:
        return None
    row = find_format(format_name).deserializer(columns, options, key=key)(data)
    if row is not None and find_format(format_name).supports_multiple_columns:
        texts = [None if v is None else json_format.writer(c.type)(v) for c, v in zip(columns, row, strict=True)]
        values = [None if text is None else json.loads(text, parse_float=decimal.Decimal) for text in texts]
        return dict(zip([c.name for c in columns], values, strict=True))
    value = row[0] if row else None
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    return value if key else {columns[0].name: value}


def same(expected: Any, actual: Any) -> bool:
    """Equal as JSON: numbers by value, a field that is null as one that is missing."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if not expected.keys() & actual.keys():
            expected, actual = _upper(expected), _upper(actual)
        return all(same(expected.get(k), actual.get(k)) for k in expected.keys() | actual.keys())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    if isinstance(actual, dict) and len(actual) == 1 and not isinstance(expected, dict):
        return same(expected, next(iter(actual.values())))
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if _is_number(expected) and _is_number(actual):
        return _same_number(decimal.Decimal(expected), decimal.Decimal(str(actual)))
    return bool(expected == actual) or (_is_number(expected) != _is_number(actual) and str(expected) == str(actual))


def _same_number(expected: decimal.Decimal, actual: decimal.Decimal) -> bool:
    """Equal, or one double written with other digits: `4.6116860184273879E18` is `4.611686018427388E18`."""
    if expected == actual:
        return True
    double = float(actual)
    return double == float(expected) and math.isfinite(double) and double_to_decimal(double) == actual


def _upper(fields: dict[str, Any]) -> dict[str, Any]:
    return {k.upper(): v for k, v in fields.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool)


def show(harness: Ran, record: OutputRecord) -> str:
    """A record for a person."""
    return f"{record.key!r}:{None if record.value is None else record.value.decode(errors='replace')}@{record.time}"


# --- what there is afterwards -----------------------------------------------------------------------------------------


def _check_source(harness: Harness, expected: Mapping[str, Any]) -> None:
    name = expected["name"]
    source = harness.engine.catalog.find(name)
    if source is None:
        raise Difference(f"source {name} is not there")
    if "type" in expected and source.kind.lower() != expected["type"]:
        raise Difference(f"source {name} is a {source.kind.lower()}, not a {expected['type']}")
    if "schema" in expected:
        _check_schema(source, expected["schema"])
    for which, actual in (("keyFormat", source.key_format), ("valueFormat", source.value_format)):
        wanted = expected.get(which)
        wanted = wanted.get("format") if isinstance(wanted, dict) else wanted
        if wanted is not None and actual.name != wanted:
            raise Difference(f"source {name} has {which} {actual.name}, not {wanted}")


def _check_schema(source: DataSource, text: str) -> None:
    definitions = parse_schema(text)
    wanted = [(d.name, d.type, d.constraint in ("KEY", "PRIMARY KEY")) for d in definitions]
    keys = [(c.name, c.type, True) for c in source.schema.key]
    actual = keys + [(c.name, c.type, False) for c in source.schema.value]
    if wanted != actual:
        raise Difference(f"source {source.name} has the schema {source.schema}, not {text}")
