"""Bytes of records for people: JSON laid out, text as it is, anything else in hexadecimal with the reason."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamguard.kafka.messages import Message

MOST_HEX = 4_096
"""Bytes of a value that are drawn in hexadecimal; the file has all of them."""
MOST_TEXT = 1_000_000
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True)
class Shown:
    """`form` is json, text, hex or none; `problem` says why it is not better, and what is left out."""

    form: str
    text: str
    problem: str = ""


def show(data: bytes | None) -> Shown:
    """A key, value or header whole."""
    if data is None:
        return Shown("none", "null")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _hex(data, f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start:,} ({error.reason})")
    at = next((n for n, c in enumerate(text) if ord(c) < 32 and c not in "\n\r\t"), None)
    if at is not None:
        return _hex(data, f"no text: control character 0x{ord(text[at]):02x} at position {at:,}")
    if len(text) > MOST_TEXT:
        return Shown("text", text[:MOST_TEXT], f"the first {MOST_TEXT:,} of {len(text):,} characters")
    if text.lstrip()[:1] not in ("{", "["):
        return Shown("text", text)
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return Shown("text", text, f"not JSON: {error}")
    return Shown("json", laid_out(text))


def laid_out(text: str) -> str:
    """JSON with a line for each member. Every token stays as it came: digits, escapes, names that come twice."""
    out: list[str] = []
    depth, previous = 0, ""
    for token in _TOKEN.findall(text):
        closes = token in ("}", "]")
        depth -= closes
        if (closes and previous not in ("{", "[")) or (not closes and previous in ("{", "[")) or previous == ",":
            out.append("\n" + "  " * depth)
        out.append(": " if token == ":" else token)
        depth += token in ("{", "[")
        previous = token
    return "".join(out)


def preview(data: bytes | None, most: int = 240) -> tuple[str, bool]:
    """A line of a list, and whether it is hexadecimal."""
    if data is None:
        return "null", False
    # Cut at a byte, a character may be broken at the end; elsewhere it is none.
    text = data[: most * 4].decode("utf-8", "ignore" if len(data) > most * 4 else "replace")[:most]
    if "\ufffd" in text or not text.replace("\n", " ").replace("\t", " ").replace("\r", " ").isprintable():
        return data[: most // 3].hex(" "), True
    return text, False


def as_line(message: Message) -> dict[str, Any]:
    """A record as an object of JSON lines; what is no UTF-8 has a name that ends with `_hex`."""
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp_ms": message.timestamp_ms,
        **as_field("key", message.key),
        **as_field("value", message.value),
        "headers": [{"name": name, **as_field("value", data)} for name, data in message.headers],
    }


def hints(data: bytes | None) -> list[str]:
    """What binary data may be, in the formats that Kafka's tools write."""
    if data is None:
        return []
    found = []
    if len(data) == 8:
        found.append(f"as a BIGINT: {struct.unpack('>q', data)[0]:,}")
    if len(data) == 4:
        found.append(f"as an INT: {struct.unpack('>i', data)[0]:,}")
    if len(data) > 5 and data[0] == 0:
        found.append(f"perhaps of a schema registry: schema {struct.unpack('>i', data[1:5])[0]}")
    if len(data) > 8 and 1_000_000_000_000 < (start := struct.unpack(">q", data[-8:])[0]) < 10_000_000_000_000:
        found.append(f"perhaps the key of a window: {data[:-8].decode('utf-8', 'replace')} from {start:,} ms on")
    return found


def read_headers(words: str) -> list[tuple[str, bytes]]:
    """Headers from lines `name: value`."""
    lines: Iterable[str] = (line for line in words.replace("\r", "").split("\n") if line.strip())
    return [(name.strip(), value.strip().encode()) for name, _, value in (line.partition(":") for line in lines)]


def as_field(name: str, data: bytes | None) -> dict[str, str | None]:
    """Bytes under a name: as text, or in hexadecimal what is no UTF-8."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_hex": data.hex()}


def _hex(data: bytes, problem: str) -> Shown:
    lines = []
    for at in range(0, min(len(data), MOST_HEX), 16):
        part = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:08x}  {part.hex(' '):<47}  {text}")
    if len(data) > MOST_HEX:
        problem += f"; the first {MOST_HEX:,} of {len(data):,} bytes"
    return Shown("hex", "\n".join(lines), problem)
