"""Readings of the functions of bytes, JSON and URLs."""

from __future__ import annotations

import base64
import datetime
import json
import re
import struct
import urllib.parse
import uuid
from decimal import Decimal
from typing import Any

from tests.streamguard_ksql.differential.reading import NoValue, double_text, equal, need, reads, value_if


def decoded(text: str, encoding: str) -> bytes:
    if encoding == "hex":
        need(len(text) % 2 == 0 and not text.startswith("0x"))
        value_if(re.fullmatch(r"[0-9a-fA-F]*", text))
        return bytes.fromhex(text)
    if encoding == "base64":
        value_if(re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text))
        need(len(text) % 4 == 0)
        return base64.b64decode(text)
    value_if(encoding in ("utf8", "ascii"))
    need(text.isascii() or (encoding == "utf8" and all(not "\ud800" <= c <= "\udfff" for c in text)))
    return text.encode("utf-8")


def encoded(data: bytes, encoding: str, *, upper: bool) -> str:
    if encoding == "hex":
        return data.hex().upper() if upper else data.hex()
    if encoding == "base64":
        return base64.b64encode(data).decode()
    value_if(encoding in ("utf8", "ascii"))
    need(encoding == "utf8" or data.isascii())
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise NoValue from None


@reads("TO_BYTES")
def to_bytes(text: str, encoding: str) -> bytes:
    return decoded(text, encoding)


@reads("FROM_BYTES")
def from_bytes(data: bytes, encoding: str) -> str:
    return encoded(data, encoding, upper=True)


@reads("ENCODE")
def encode(text: str, source: str, target: str) -> str:
    value_if({source, target} <= {"hex", "utf8", "ascii", "base64"})
    return encoded(decoded(text, source), target, upper=False)


def _reads_number(name: str, code: str) -> None:
    def number(data: bytes, order: str = "BIG_ENDIAN") -> Any:
        value_if(order in ("BIG_ENDIAN", "LITTLE_ENDIAN") and len(data) == struct.calcsize(f">{code}"))
        return struct.unpack(f"{'>' if order == 'BIG_ENDIAN' else '<'}{code}", data)[0]

    reads(name)(number)


for _name, _code in {"INT_FROM_BYTES": "i", "BIGINT_FROM_BYTES": "q", "DOUBLE_FROM_BYTES": "d"}.items():
    _reads_number(_name, _code)


@reads("UUID")
def identifier(data: bytes) -> Any:
    return str(uuid.UUID(bytes=data)) if len(data) == 16 else None


def parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        raise NoValue from None


def written(value: Any) -> str:
    """As JSON without blanks, numbers as they are written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _member(value: Any) -> str:
    return value if isinstance(value, str) else written(value)


def _part(value: Any, step: str) -> Any:
    if step.startswith("["):
        index = int(step[1:-1])
        found = value[index : index + 1] if isinstance(value, list) else []
    else:
        found = [value[step]] if isinstance(value, dict) and step in value else []
    if not found:
        raise LookupError
    return found[0]


@reads("EXTRACTJSONFIELD")
def extract(text: str, path: str) -> Any:
    need(re.fullmatch(r"\$(\.\w+|\[\d+\])*", path) and text.strip())
    value = parsed(text)
    try:
        for step in re.findall(r"\w+|\[\d+\]", path[1:]):
            value = _part(value, step)
    except LookupError:
        return None
    return _member(value)


@reads("IS_JSON_STRING", nulls=True)
def is_json(text: Any) -> bool:
    try:
        return text is not None and parsed(text) is not NoValue
    except NoValue:
        return False


def _of_kind(text: str, kind: type, give: Any) -> Any:
    value = parsed(text)
    return give(value) if isinstance(value, kind) else None


@reads("JSON_ARRAY_LENGTH")
def json_length(text: str) -> Any:
    return _of_kind(text, list, len)


@reads("JSON_KEYS")
def json_keys(text: str) -> Any:
    return _of_kind(text, dict, list)


@reads("JSON_RECORDS")
def json_records(text: str) -> Any:
    return _of_kind(text, dict, lambda value: {key: _member(v) for key, v in value.items()})


@reads("JSON_ITEMS")
def json_items(text: str) -> Any:
    need(text.startswith("["))
    return _of_kind(text, list, lambda value: [written(v) for v in value])


@reads("JSON_CONCAT")
def json_concat(*texts: str) -> str:
    values = [parsed(text) for text in texts]
    if all(isinstance(v, dict) for v in values):
        return written({key: v for value in values for key, v in value.items()})
    return written([v for value in values for v in (value if isinstance(value, list) else [value])])


@reads("JSON_ARRAY_CONTAINS", nulls=True, typed=True)
def json_contains(kinds: Any, text: Any, wanted: Any) -> Any:
    need(text is not None and kinds[1] in ("INT", "BIGINT", "STRING", "BOOLEAN"))
    try:
        value = parsed(text)
    except NoValue:
        return False
    return isinstance(value, list) and any(equal(v, wanted) for v in value)


@reads("TO_JSON_STRING", nulls=True, typed=True)
def to_json(kinds: Any, value: Any) -> str:
    return _json(value, kinds[0])


def _json(value: Any, kind: str) -> str:
    if value is None:
        return "null"
    if kind.startswith("ARRAY"):
        return "[" + ",".join(_json(v, kind[6:-1]) for v in value) + "]"
    if kind.startswith("MAP"):
        need(len(value) < 2 and None not in value)
        return "{" + ",".join(f"{_json(k, 'STRING')}:{_json(v, kind[12:-1])}" for k, v in value.items()) + "}"
    if kind == "DOUBLE":
        return double_text(value) if value - value == 0 else f'"{double_text(value)}"'
    if kind == "BYTES":
        return f'"{base64.b64encode(value).decode()}"'
    if kind == "DATE":
        need(-700_000 < value < 2_900_000)
        return f'"{datetime.date(1970, 1, 1) + datetime.timedelta(days=value)}"'
    need(kind not in ("TIME", "TIMESTAMP"))
    need(kind != "STRING" or all(" " <= c < "\x7f" for c in value))
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


@reads("URL_ENCODE_PARAM")
def url_encode(text: str) -> str:
    need(" " not in text and all(not "\ud800" <= c <= "\udfff" for c in text))
    return urllib.parse.quote(text, safe="-_.*").replace("~", "%7E")


@reads("URL_DECODE_PARAM")
def url_decode(text: str) -> str:
    need(re.fullmatch(r"([^%]|%[0-7][0-9a-fA-F])*", text))
    return urllib.parse.unquote_plus(text)


def _reads_url(name: str, part: Any) -> None:
    def reading(url: str, *more: str) -> Any:
        if not re.fullmatch(r"[a-z]+://[a-z.]+(:\d+)?(/[\w.%/]*)?(\?[\w=&%+]*)?(#[\w%]*)?", url):
            need(" " in url)
            return None
        found = part(urllib.parse.urlsplit(url), *more)
        return urllib.parse.unquote(found) if isinstance(found, str) else found

    reads(name)(reading)


_reads_url("URL_EXTRACT_PROTOCOL", lambda url: url.scheme)
_reads_url("URL_EXTRACT_HOST", lambda url: url.hostname)
_reads_url("URL_EXTRACT_PORT", lambda url: url.port)
_reads_url("URL_EXTRACT_PATH", lambda url: url.path)
_reads_url("URL_EXTRACT_QUERY", lambda url: url.query or None)
_reads_url("URL_EXTRACT_FRAGMENT", lambda url: url.fragment or None)


def _parameter(url: Any, name: str) -> Any:
    need(re.fullmatch(r"\w+", name))
    found = [p.partition("=") for p in url.query.split("&") if p.partition("=")[0] == name]
    need(len(found) < 2 and all(value for _, _, value in found) and "+" not in url.query)
    return found[0][2] if found else None


_reads_url("URL_EXTRACT_PARAMETER", _parameter)
