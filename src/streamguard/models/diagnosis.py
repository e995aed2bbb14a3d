"""Why a record fits no model, in words for a person who never saw the code: what it is, where, what is expected.

1. `of_bytes` names what is no JSON: Avro, gzip, Latin-1, a CSV line.
2. `of_value` names JSON that is no record: an array, an envelope around it.
3. `of_fields` names the fields of a record that do not fit, in one line.

Each is a table, from what is found to words. Sources: the magic numbers are those of the formats' own specifications; the
five bytes in front of a record of a schema registry are Confluent's "wire format", the envelopes Debezium's and Kafka
Connect's manuals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

HELP = "docs/own-data.md has what to do"
_ONLY_JSON = f"only JSON is read; {HELP}"

# --- bytes that are no JSON ---------------------------------------------------------------------------------------------

_MAGIC: Mapping[bytes, str] = {
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"\xff\x06\x00\x00sNaPpY": "compressed with snappy",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"PK\x03\x04": "a zip file",
    b"PAR1": "a Parquet file",
    b"Obj\x01": "an Avro file",
    b"\xac\xed\x00\x05": "a serialised Java object",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"%PDF": "a PDF",
    b"<": "XML",
}
_REGISTRY_BYTES = 5
_NO_NUMBER = re.compile(r'(?:"([A-Za-z_]{1,50})"\s*:\s*)?(?<![\w"])-?(?:NaN|Infinity)(?![\w"])')
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SEPARATORS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}


def of_bytes(value: bytes, what: str, error: str) -> str:
    """Why `value` is no JSON; `what` is the record that is expected, `error` the parser's message where nothing is known."""
    for magic, name in _MAGIC.items():
        if value.startswith(magic):
            return f"{name}: {_ONLY_JSON}"
    if value[:1] == b"\x00" and len(value) > _REGISTRY_BYTES:
        return f"{_of_registry(value)}: {_ONLY_JSON}"
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        return _of_other_text(value, fault)
    if _CONTROLS.search(text):
        return f"binary data, Protobuf or MessagePack perhaps: {_ONLY_JSON}"
    if found := _NO_NUMBER.search(text):
        return f"{found[1] or 'the value'}: {error}"
    return _of_text(text.strip()) or f"not JSON: {error}"


def _of_registry(value: bytes) -> str:
    """A record of a schema registry: 0, the schema's id in four bytes, then Avro as a rule."""
    kind = "a JSON Schema record" if value[_REGISTRY_BYTES:].lstrip()[:1] == b"{" else "an Avro record"
    return f"{kind} (magic byte 0, schema id {int.from_bytes(value[1:_REGISTRY_BYTES], 'big')})"


def _of_other_text(value: bytes, fault: UnicodeDecodeError) -> str:
    """Bytes that are no UTF-8: text that ends within a letter, text of one byte per letter, or no text."""
    if _CONTROLS.search(value.decode("latin-1")):
        return f"binary data, Protobuf or MessagePack perhaps: {_ONLY_JSON}"
    if fault.reason == "unexpected end of data" and fault.start > 0:
        return f"JSON that is cut off after {len(value)} bytes, within a letter"
    guess = "Windows-1252" if any(0x80 <= byte < 0xA0 for byte in value) else "Latin-1"
    return f"not UTF-8: {guess} perhaps (byte 0x{value[fault.start]:02X} at {fault.start}); JSON in UTF-8 is expected"


def _of_text(text: str) -> str | None:
    if not text:
        return "the value is empty"
    if text.startswith("{'"):
        return 'names in single quotes: JSON has double quotes (")'
    if text[0] in "{[":
        return _of_broken_json(text)
    separator = max(_SEPARATORS, key=text.splitlines()[0].count)
    if text.splitlines()[0].count(separator) > 1:
        return f"a CSV line, separated by {_SEPARATORS[separator]}: a JSON object is expected; {HELP}"
    return None


def _of_broken_json(text: str) -> str | None:
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text) or error.msg.startswith("Unterminated string")
        return f"JSON that is cut off after {len(text)} characters" if cut else None
    except RecursionError:
        return "JSON that is nested too deeply"
    return None


# --- JSON that is no record ---------------------------------------------------------------------------------------------


def _is_debezium(fields: Mapping[str, Any]) -> bool:
    return "after" in fields and ("op" in fields or "source" in fields)


_ENVELOPES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    (
        "a Debezium envelope (payload.after)",
        lambda f: isinstance(f.get("payload"), dict) and _is_debezium(f["payload"]),
    ),
    ("a Debezium envelope (after)", _is_debezium),
    ("a Kafka Connect envelope (schema, payload)", lambda f: "schema" in f and "payload" in f),
    ("a CloudEvents envelope (data)", lambda f: "specversion" in f and "data" in f),
)


def of_value(value: Any, what: str) -> str | None:
    """What a JSON value is that holds no field of a record, `what`; None where nothing is known of it."""
    if isinstance(value, list):
        return f"a JSON array: one {what} per record is expected"
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        return f"JSON inside of a JSON text: the {what} itself is expected"
    if not isinstance(value, dict):
        return None
    for name, fits in _ENVELOPES:
        if fits(value):
            return f"{name}: the fields of the {what} are expected at the top; {HELP}"
    listed = any(isinstance(item, list) and item and isinstance(item[0], dict) for item in value.values())
    return f"a JSON document with a list: one {what} per record is expected; {HELP}" if listed else None


# --- fields that do not fit ---------------------------------------------------------------------------------------------

_WHOLE, _NUMBER = "a whole number is expected", "a number is expected"
_WORDS: Mapping[str, str] = {
    "missing": "missing",
    "extra_forbidden": "unknown",
    "string_type": "a text is expected",
    "string_too_short": "empty",
    "string_too_long": "at most {max_length} characters are expected",
    "string_pattern_mismatch": "a NUL character is in it",
    "too_short": "at least {min_length} entries are expected",
    "too_long": "at most {max_length} entries are expected",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "greater_than": "above {gt:g} is expected",
    "greater_than_equal": "at least {ge:g} is expected",
    "less_than": "below {lt} is expected",
    "less_than_equal": "at most {le:g} is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "list_type": "a list is expected",
    "tuple_type": "a list is expected",
    "dict_type": "an object is expected",
    "model_type": "an object is expected",
    "bytes_type": "a text is expected",
}
"""Words by pydantic's type of an error; what is not here has words of our own already."""


def of_fields(error: ValidationError, *, values: bool = True) -> str:
    """All errors in one line: `amount: an amount above 0 is expected (got -5); currency: missing`.

    Without `values` what was got is left out.
    """
    # Postgres text cannot contain NUL, and a reason is stored as text.
    return "; ".join(_of_field(item, values) for item in error.errors(include_url=False)).replace("\x00", "\\0")


def _of_field(item: ErrorDetails, values: bool) -> str:
    about = item.get("ctx", {})
    name = ".".join(map(str, item["loc"])) or about.get("field", "value")
    got = item["input"][name] if "field" in about else item["input"]
    message = f"{name}: {_words(item)}"
    return message if item["type"] == "missing" or not values else f"{message} (got {shown(got)})"


def _words(item: ErrorDetails) -> str:
    about = item.get("ctx", {})
    if item["type"] == "finite_number":
        return not_finite(float(item["input"]))
    if item["type"] == "value_error":
        return str(about["error"])
    words = _WORDS.get(item["type"])
    return item["msg"] if words is None else words.format_map(about)


def not_finite(number: float) -> str:
    """The message for a number that is none."""
    return f"a finite number is expected, not {'NaN' if math.isnan(number) else 'infinity'}"


def shown(value: object) -> str:
    """A value as JSON, cut where it is long: a 5 MB field must not become a 5 MB reason."""
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
