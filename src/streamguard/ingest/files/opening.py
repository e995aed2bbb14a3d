"""From a path to a `Source`: the format by content first, by name second."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any

from streamguard.ingest.files import csv_shape, delimited, json_document, jsons, ofx
from streamguard.ingest.files.errors import DAMAGE, InputError, damaged
from streamguard.ingest.files.refusals import refuse, refuse_binary, refuse_xml
from streamguard.ingest.files.source import REASON_COLUMN, SAMPLE, Row, Source, Unreadable
from streamguard.ingest.files.streams import HEAD_BYTES, Stream, open_stream
from streamguard.ingest.files.text import UNDECODED, encoding_of, undecoded

_LINES_BY_NAME = (".jsonl", ".ndjson", ".ldjson", ".jsonlines")


def open_source(
    path: str,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    at: str | None = None,
    member: str | None = None,
    header_line: int | None = None,
) -> Source:
    """A file, or standard input for "-", as rows.

    What is not given is found out: the `encoding` (a name of Python's codecs) and `separator` of a text, the line of a
    CSV's header (`header_line` counts from 1; 0: there is none), the dotted path `at` of the rows in a JSON document, and
    the `member` of a zip. Raises InputError, one sentence: what, where, what to do.
    """
    try:
        with ExitStack() as opened:
            stream = open_stream(path, member, opened)
            refuse(stream.name, stream.head)
            source = _recognised(stream, encoding, separator, at, header_line)
            source.opened = opened.pop_all()
            if path != "-":
                given = {"encoding": encoding, "separator": separator, "at": at, "member": member}
                source.again = partial(open_source, path, header_line=header_line, **given)
            return source
    except DAMAGE as error:
        raise InputError(damaged(path if path != "-" else "standard input", error)) from None


def _recognised(
    stream: Stream, encoding: str | None, separator: str | None, at: str | None, header_line: int | None
) -> Source:
    if is_parquet(stream.name, stream.head):
        return _parquet(stream)
    if ofx.is_ofx(stream.head):
        return _ofx(stream, encoding)
    refuse_xml(stream.name, stream.head)
    codec, found = encoding_of(stream.name, stream.head, encoding)
    if encoding is None and "byte-order mark" not in found:
        refuse_binary(stream.name, stream.head)
    head = _head_text(stream.head, codec)
    if head.lstrip().startswith(("{", "[")):
        kind = _kind_of_json(head, stream)
        if kind == "lines" and at is None:
            return _json_lines(stream, codec, found)
        if kind is not None:
            return _json_document(stream, codec, found, at)
    if at is not None:
        raise InputError(f"{stream.name} is no JSON document: --at is only for those")
    return _csv(stream, codec, found, separator, header_line, head)


def _head_text(head: bytes, codec: str) -> str:
    """How a text begins, up to its last whole line where it goes on."""
    text = io.TextIOWrapper(io.BytesIO(head), codec, "ignore", newline="").read()
    if len(head) >= HEAD_BYTES:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text
    return text.removeprefix("\ufeff")


def _kind_of_json(head: str, stream: Stream) -> str | None:
    """lines, document, or None for a text that only looks like JSON, such as a CSV whose first column is [Date]."""
    # Not str.splitlines: a text may have U+2028 and U+0085.
    lines = [line.strip() for line in re.split(r"[\r\n]+", head) if line.strip()]
    if head.lstrip()[1:].lstrip()[:1] not in ('"', "{", "[", "}", "]", ""):
        return None
    if lines[0].startswith("[") or not lines[0].endswith("}"):
        return "document"
    if stream.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(_LINES_BY_NAME):
        return "lines"
    if len(lines) == 1:
        return "document"
    return "lines" if lines[1].startswith("{") or _is_json(lines[0]) else "document"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _csv(
    stream: Stream, codec: str, found: tuple[str, ...], separator: str | None, header_line: int | None, head: str
) -> Source:
    # In lines as the csv module takes them: str.splitlines knows more ends than it does.
    lines = list(islice(io.StringIO(head, newline=""), SAMPLE))
    table = csv_shape.shape_of(stream.name, lines, separator, header_line)
    text = _text(stream, codec)
    for _ in islice(text, table.lines_before):
        pass
    columns = tuple(name for name in table.columns if name.strip().lower() != REASON_COLUMN)
    reason_at = None
    if len(columns) < len(table.columns):
        reason_at = [name.strip().lower() for name in table.columns].index(REASON_COLUMN)
    rows = delimited.rows(text, table, codec, reason_at)
    names = ("CSV", table.found[0], *found, *stream.layers, *table.found[1:])
    dialect = table.dialect
    return _source(stream, "csv", names, columns, rows, separator=dialect.separator, quote=dialect.quote)


def _json_lines(stream: Stream, codec: str, found: tuple[str, ...]) -> Source:
    rows = jsons.line_rows(_text(stream, codec), codec)
    return _source(stream, "jsonl", ("JSON lines", *found, *stream.layers), (), _without_reasons(rows))


def _json_document(stream: Stream, codec: str, found: tuple[str, ...], at: str | None) -> Source:
    text = _whole_text(stream, codec)
    rows, how = json_document.document_rows(stream.name, text.encode("utf-8", "surrogatepass"), at)
    return _source(stream, "json", (*how, *found, *stream.layers), (), _without_reasons(rows))


def _ofx(stream: Stream, encoding: str | None) -> Source:
    codec, found = encoding_of(stream.name, stream.head, encoding or ofx.charset_of(stream.head))
    rows = ofx.ofx_rows(_whole_text(stream, codec))
    return _source(stream, "ofx", ("OFX", *found, *stream.layers), (), rows)


def is_parquet(name: str, head: bytes) -> bool:
    """Whether a file begins as Parquet does; a header may begin with the same letters."""
    return re.match(rb"PAR1[\x00-\x08\x0e-\x1f\x80-\xff]", head) is not None or (
        head.startswith(b"PAR1") and name.lower().endswith(".parquet")
    )


def _parquet(stream: Stream) -> Source:
    share = [0.0]
    from streamguard.ingest.files import parquet

    file, columns = parquet.open_parquet(stream.name, stream.seekable())
    rows = parquet.parquet_rows(file, lambda read: share.__setitem__(0, read))
    source = _source(stream, "parquet", ("Parquet", *stream.layers), columns, _without_reasons(rows))
    source.bytes_read = lambda: int(share[0] * (stream.total_bytes or 0))
    return source


def _source(
    stream: Stream,
    kind: str,
    found: tuple[str, ...],
    columns: tuple[str, ...],
    rows: Iterator[Row | Unreadable],
    **more: Any,
) -> Source:
    read: Callable[[], int] = stream.bytes_read
    return Source(stream.name, kind, found, columns, stream.total_bytes, read, rows, **more)


def _text(stream: Stream, codec: str) -> io.TextIOWrapper:
    return stream.opened.enter_context(io.TextIOWrapper(stream.file, codec, UNDECODED, newline=""))


def _whole_text(stream: Stream, codec: str) -> str:
    """The text of a file that is read at once. Raises InputError for one that is too large, or in another encoding."""
    data = stream.file.read(json_document.LIMIT_BYTES + 1)
    if len(data) > json_document.LIMIT_BYTES:
        raise InputError(json_document.too_large(stream.name))
    text = data.decode(codec, UNDECODED)
    if undecoded(text):
        raise InputError(f"{stream.name} has bytes that are not {codec}: --encoding says what it is in")
    return text


def _without_reasons(rows: Iterator[Row | Unreadable]) -> Iterator[Row | Unreadable]:
    """Without the member that an earlier refusal has added."""
    for item in rows:
        if isinstance(item, Row):
            item.values.pop(REASON_COLUMN, None)
        yield item
