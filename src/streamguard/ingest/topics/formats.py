"""What the values of a topic are. Payments are read from JSON; everything else is named, with the way to JSON."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from streamguard.ingest.files import jsons
from streamguard.ingest.topics.errors import UnusableTopic
from streamguard.ingest.topics.sample import Raw, Sample

_TO_JSON = (
    "have it written as JSON, in Kafka Connect with value.converter=org.apache.kafka.connect.json.JsonConverter, or on a "
    "ksqlDB that has the registry with CREATE STREAM ... WITH (VALUE_FORMAT='JSON') AS SELECT * FROM ..., and connect that "
    "topic"
)
JSON, NULL = "JSON", "null"
_NAMED = {
    "registry": "Avro or Protobuf of a schema registry (magic byte 0, schema id {detail}), which this setup does not have: "
    + _TO_JSON,
    "registry JSON": "JSON of a schema registry (magic byte 0, schema id {detail} in front of each object), which this setup "
    "does not have: " + _TO_JSON,
    "Avro file": "whole Avro files: " + _TO_JSON,
    "array": "JSON arrays ({detail}): one payment a record is expected, so have each element written as a record",
    "scalar": 'JSON that is no object ({detail}): an object a record is expected, such as {{"amount": 12.5}}',
    "delimited": "CSV without names ({detail}): write CREATE STREAM with the names and VALUE_FORMAT='DELIMITED', and INSERT "
    "INTO transactions by hand, as docs/own-data.md shows",
    "XML": "XML ({detail}), which ksqlDB does not read: have it written as JSON",
    "binary": "binary ({detail}), perhaps Protobuf or a serialised object: " + _TO_JSON,
    "text": "text that is no JSON ({detail}): have each payment written as one JSON object",
}


def objects_of(sample: Sample) -> tuple[list[tuple[bytes | None, dict[str, Any]]], Counter[str]]:
    """Key and object of each record that is a JSON object, and how many records are of which kind.

    Raises UnusableTopic where none is an object.
    """
    found: list[tuple[bytes | None, dict[str, Any]]] = []
    kinds: Counter[str] = Counter()
    details: dict[str, str] = {}
    for record in sample.records:
        kind, detail = _kind(record, found)
        kinds[kind] += 1
        details.setdefault(kind, detail)
    if not found:
        others = [kind for kind, _ in kinds.most_common() if kind != NULL]
        if not others:
            raise UnusableTopic(f"the records of the topic {sample.topic} have no values: there is no payment in them")
        text = _NAMED[others[0]].format(detail=details[others[0]])
        raise UnusableTopic(f"the values of the topic {sample.topic} are {text}")
    return found, kinds


def _kind(record: Raw, found: list[tuple[bytes | None, dict[str, Any]]]) -> tuple[str, str]:
    """The kind of a value and what shows it; an object is added to `found`."""
    value = record.value
    if value is None:
        return NULL, ""
    if len(value) > 5 and value[0] == 0:
        (schema,) = struct.unpack(">I", value[1:5])
        return ("registry JSON" if value[5:6] == b"{" else "registry"), str(schema)
    if value.startswith(b"Obj\x01"):
        return "Avro file", ""
    try:
        text = value.decode("utf-8-sig")
        found.append((record.key, jsons.parse(text)))
        return JSON, ""
    except UnicodeDecodeError:
        return "binary", value[:12].hex(" ")
    except ValueError as error:
        return _kind_of_text(text, str(error)), _shown(text)


def _kind_of_text(text: str, error: str) -> str:
    begin = text.lstrip()[:1]
    if "an object is expected" in error:
        # A number alone is JSON too, and so is a line of CSV that has one cell.
        return "array" if begin == "[" else "scalar"
    if begin == "<":
        return "XML"
    if sum(character < " " and character not in "\t\r\n" for character in text) > len(text) // 20:
        return "binary"
    if begin not in ("{", "[") and any(separator in text for separator in ",;|\t"):
        return "delimited"
    return "text"


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
