"""A JSON document: an array of objects, a document with such an array in it, one object, or several without commas.

The whole text is held in memory, not its rows: the elements are found first, without their values, then read one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from streamguard.ingest.files import jsons
from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.source import Row, Unreadable

LIMIT_BYTES = 256 << 20
"""Above this a document is refused: JSON lines have no limit."""

_DEEPEST = 6
_USUAL = ("added", "charges", "data", "payments", "records", "transactions")
"""What services call the array of payments; Plaid has arrays of what it modified and removed beside."""
_NO_SPACE = re.compile(r"[^ \t\r\n\x1e]")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def document_rows(name: str, data: bytes, at: str | None) -> tuple[Iterator[Row | Unreadable], tuple[str, ...]]:
    """The rows of a document in UTF-8, and what was found. `at` is the dotted path of an array, or of one object.

    Raises InputError where it is no JSON, where `at` is not in it, and where several arrays could be meant.
    """
    try:
        top = msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        if "trailing characters" in str(error):
            found = ("JSON objects one after the other", *((f"rows at '{at}'",) if at is not None else ()))
            return _concatenated(name, data.decode("utf-8"), at), found
        raise InputError(_broken(name, data)) from None
    if at is not None:
        return _elements(data, _reached(name, top, at)), ("JSON document", f"rows at '{at}'")
    if _is_array(top):
        return _elements(data, top), ("JSON array",)
    arrays = dict(_arrays(top, ""))
    usual = [path for path in arrays if path.rpartition(".")[2] in _USUAL]
    if len(arrays) > 1 and len(usual) == 1:
        others = ", ".join(path for path in arrays if path not in usual)
        return _elements(data, arrays[usual[0]]), ("JSON document", f"rows at '{usual[0]}', not at {others}")
    if len(arrays) > 1:
        first = next(iter(arrays))
        raise InputError(
            f"{name} is a JSON document with several arrays of objects ({', '.join(list(arrays)[:12])}): say which one holds the "
            f"rows, such as --at {first}"
        )
    for path, array in arrays.items():
        return _elements(data, array), ("JSON document", f"rows at '{path}'")
    return _elements(data, top), ("one JSON object",)


def too_large(name: str) -> str:
    """The sentence for a document above the limit."""
    return (
        f"{name} is one document of more than {LIMIT_BYTES >> 20} MiB, which is too large to be read at once: "
        "make JSON lines of it, such as jq -c '.[]' FILE > payments.jsonl"
    )


def _is_array(part: msgspec.Raw) -> bool:
    return bytes(memoryview(part)[:1]) == b"["


def _is_object(part: msgspec.Raw) -> bool:
    return bytes(memoryview(part)[:1]) == b"{"


def _arrays(part: msgspec.Raw, prefix: str) -> Iterator[tuple[str, msgspec.Raw]]:
    """The arrays of objects in an object and in those nested in it, by dotted path."""
    if prefix.count(".") >= _DEEPEST:
        return
    for name, value in _object.decode(part).items():
        if _is_object(value):
            yield from _arrays(value, f"{prefix}{name}.")
        elif _is_array(value) and any(map(_is_object, _array.decode(value)[:1])):
            yield prefix + name, value


def _reached(name: str, part: msgspec.Raw, at: str) -> msgspec.Raw:
    rest: str | None = at
    while rest:
        members = _object.decode(part) if _is_object(part) else {}
        here, _, behind = (rest, "", "") if rest in members else rest.partition(".")
        if here not in members:
            listed = ", ".join(list(members)[:12]) or "no members"
            raise InputError(
                f"{name} has no '{at}': at '{here}' there is {listed}; --at is a path such as data.payments"
            )
        part, rest = members[here], behind
    if not (_is_array(part) or _is_object(part)):
        raise InputError(f"{name} has neither an array nor an object at '{at}': --at is the path of the rows")
    return part


def _elements(data: bytes, part: msgspec.Raw) -> Iterator[Row | Unreadable]:
    """The elements of an array, or one object, each with the line in which it begins."""
    elements = _array.decode(part) if _is_array(part) else [part]
    # Where the array stands is not known, but it is a slice of the document, and so are its elements, in order.
    end = max(data.find(bytes(part)), 0)
    line = 1 + data.count(b"\n", 0, end)
    for element in elements:
        raw = bytes(element)
        start = data.find(raw, end)
        line += data.count(b"\n", end, start)
        yield jsons.row(line, raw.decode("utf-8"))
        end = start + len(raw)
        line += raw.count(b"\n")


def _concatenated(name: str, text: str, at: str | None) -> Iterator[Row | Unreadable]:
    """Documents that follow each other without commas, as jq prints them. All are checked before a row is returned."""
    decoder, position, line = json.JSONDecoder(), 0, 1
    spans: list[tuple[int, int, int]] = []
    while found := _NO_SPACE.search(text, position):
        start = found.start()
        line += text.count("\n", position, start)
        try:
            _, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise InputError(_broken(name, text[start:].encode(), line - 1)) from None
        spans.append((line, start, position))
        line += text.count("\n", start, position)
    if at is None:
        return (jsons.row(first, text[begin:end]) for first, begin, end in spans)
    documents = ((first, text[begin:end].encode()) for first, begin, end in spans)
    parts = [(first, data, _reached(name, msgspec.Raw(data), at)) for first, data in documents]
    return (item._replace(line=item.line + first - 1) for first, data, part in parts for item in _elements(data, part))


def _broken(name: str, data: bytes, lines_before: int = 0) -> str:
    """The sentence for a text that is neither: Python's parser says line and column, msgspec the byte."""
    try:
        json.loads(data)
        where = "it has NaN or Infinity, which JSON does not have: write null in their place"
    except RecursionError:
        where = "its values are nested too deeply"
    except ValueError as error:
        line = getattr(error, "lineno", 1) + lines_before
        where = f"line {line} column {getattr(error, 'colno', 1)}: {getattr(error, 'msg', error)}"
    return (
        f"{name} is neither a JSON document nor one JSON object per line: {where}; mend it there, "
        "or fetch the file again if it ends too early"
    )
