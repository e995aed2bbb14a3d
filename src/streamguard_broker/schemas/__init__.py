"""Messages that the codec library lacks. Their layouts are files beside this one.

A field is `NAME TYPE`, with `?` behind the type where it may be null, the versions that have it where not all do, and
`= VALUE` for its default: `RebalanceTimeoutMs int32 = -1`. A list is a field with the fields of its struct; `structs` are those
that several fields share. Fields and versions: https://kafka.apache.org/protocol#protocol_api_keys
"""

from __future__ import annotations

import re
from typing import Any

from kafka.protocol.api_message import ApiMessage

_FIELD = re.compile(r"(?P<name>\w+) (?P<type>[\w\[\]]+)(?P<null>\?)?(?: (?P<versions>\d\+))?(?: = (?P<default>-?\d+))?")


def _layout(metaclass: type, file: dict[str, Any]) -> dict[str, Any]:
    """A file as the library wants it."""
    structs = {name: [_field(one) for one in fields] for name, fields in file.get("structs", {}).items()}
    return {
        "apiKey": file["key"],
        "type": file["kind"],
        "name": file["name"],
        "validVersions": file["versions"],
        "flexibleVersions": "0+",
        "fields": _with_structs([_field(one) for one in file["fields"]], structs),
    }


def _field(written: str | list[Any]) -> dict[str, Any]:
    text, *members = [written] if isinstance(written, str) else written
    found = _FIELD.fullmatch(text)
    assert found is not None, text
    versions = found["versions"] or "0+"
    field: dict[str, Any] = {"name": found["name"], "type": found["type"], "versions": versions}
    if found["null"]:
        field |= {"nullableVersions": versions, "default": "null"}
    if found["default"]:
        field["default"] = int(found["default"])
    if members:
        field["fields"] = [_field(one) for one in members]
    return field


def _with_structs(fields: list[dict[str, Any]], structs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    for field in fields:
        name = field["type"].removeprefix("[]")
        members = field.get("fields", structs.get(name))
        if members is not None:
            field["fields"] = _with_structs([dict(member) for member in members], structs)
    return fields


_read: Any = classmethod(_layout)
"""How the library reads a file."""

# The library has no types for its base class, which takes the layouts' package as a keyword.


class ConsumerGroupHeartbeatRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 68."""

    json_patch = _read


class ConsumerGroupHeartbeatResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 68."""

    json_patch = _read


class ConsumerGroupDescribeRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 69."""

    json_patch = _read


class ConsumerGroupDescribeResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 69."""

    json_patch = _read
