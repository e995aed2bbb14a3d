"""`/inserts-stream`: rows in, an acknowledgement for each out, on one HTTP/2 stream, both directions at once.

The first line of the body names the target, every other line is a row. A row is acknowledged when it is stored.

Source: docs/developer-guide/ksqldb-rest-api/streaming-endpoint.md, "Inserting rows into an existing stream".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from streamguard_ksql.catalog import DataSource
from streamguard_ksql.datetimes import parse_date, parse_time, parse_timestamp
from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.formats.json import reader
from streamguard_ksql.inserts import row_record, writable_source
from streamguard_ksql.schema import ROWTIME, Column
from streamguard_ksql.server.errors import NOT_HTTP2, RestError, fault
from streamguard_ksql.server.formats import DELIMITED
from streamguard_ksql.server.requests import MAX_BODY_BYTES, parse_object, too_large
from streamguard_ksql.server.state import Server
from streamguard_ksql.types import BIGINT

Row = Mapping[str, Any]
_MOMENTS: dict[str, Callable[[str], int]] = {"DATE": parse_date, "TIME": parse_time, "TIMESTAMP": parse_timestamp}


class GoneError(Exception):
    """The client went away in the middle of its request."""


@dataclass(frozen=True)
class InsertsStream:
    """The endpoint, as an ASGI application."""

    server: Server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        try:
            await self._serve(scope, receive, answer)
        except RestError as error:
            await answer.refuse(error)
        except GoneError:
            return
        except Exception as error:
            await answer.refuse(fault(error, "inserting rows"))

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if scope["http_version"] != "2" and not _wants_http2(scope):
            raise RestError("This endpoint is only available when using HTTP2", code=NOT_HTTP2)
        lines = _lines(receive)
        first = await anext(lines, b"")
        source = self._target(parse_object(first))
        await answer.start()
        number = 0
        async for line in lines:
            if line.strip():
                await answer.acknowledge(number, await self._insert(source, line))
                number += 1
        await answer.end()

    def _target(self, arguments: Row) -> DataSource:
        target = arguments.get("target")
        if not isinstance(target, str):
            raise RestError("The first line must be a JSON object with the stream's name in 'target'.")
        try:
            with self.server.runtime.lock:
                return writable_source(self.server.runtime.engine.catalog, identifier(target))
        except KsqlError as error:
            raise RestError(error.message, code=error.code) from None

    async def _insert(self, source: DataSource, line: bytes) -> RestError | None:
        """Insert a row and wait until it is stored; what is wrong with it, if anything."""
        try:
            record = row_record(source, row_values(source, line), self.server.clock_ms)
            await self.server.run(self.server.runtime.insert, record)
        except KsqlError as error:
            return RestError(error.message, code=error.code)
        except RestError as error:
            return error
        except Exception as error:
            return fault(error, f"inserting into {source.name}")
        return None


class _Answer:
    """The response, as far as it has been sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False

    async def start(self, status: int = 200, content_type: str | None = DELIMITED) -> None:
        headers = [] if content_type is None else [(b"content-type", content_type.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        self._started = True

    async def acknowledge(self, number: int, error: RestError | None) -> None:
        line: dict[str, Any] = {"status": "ok", "seq": number}
        if error is not None:
            line = {"status": "error", "seq": number, "error_code": error.code, "message": error.message}
        await self._send({"type": "http.response.body", "body": orjson.dumps(line) + b"\n", "more_body": True})

    async def refuse(self, error: RestError) -> None:
        """An error of the whole request: its status, or a last line if the status has been sent."""
        if not self._started:
            await self.start(error.status, None)
        await self._send({"type": "http.response.body", "body": orjson.dumps(error.body), "more_body": False})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _wants_http2(scope: Scope) -> bool:
    """Whether an HTTP/1.1 request asked to go on as HTTP/2: one with a body is not upgraded, and served as it came."""
    return any(name == b"upgrade" and value.lower() == b"h2c" for name, value in scope["headers"])


async def _lines(receive: Receive) -> AsyncIterator[bytes]:
    """The lines of the request's body as they come, each of a bounded length."""
    rest = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        more = message.get("more_body", False)
        *whole, rest = (rest + message.get("body", b"")).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > MAX_BODY_BYTES:
            raise too_large()
    if rest:
        yield rest


def identifier(name: str) -> str:
    """A name as SQL reads it: upper case, unless it is quoted in backticks or double quotes."""
    if len(name) > 1 and name[0] == name[-1] and name[0] in '`"':
        return name[1:-1]
    return name.upper()


def row_values(source: DataSource, line: bytes) -> dict[str, Any]:
    """The SQL values of a row by column; RestError for what is no row of the source."""
    try:
        given = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise RestError(f"The row is not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise RestError("A row must be a JSON object.")
    row = {}
    for name, value in given.items():
        column = _column(source, identifier(name))
        row[column.name] = None if value is None else _value(column, value)
    return row


def _column(source: DataSource, name: str) -> Column:
    column = Column(ROWTIME, BIGINT) if name == ROWTIME else source.schema.find(name)
    if column is None:
        raise RestError(f"Column name `{name}` does not exist.")
    if column.header is not None:
        raise RestError(f"Cannot insert into HEADER columns: {name}")
    return column


def _value(column: Column, value: Any) -> Any:
    parse = _MOMENTS.get(column.type.base)
    try:
        return parse(value) if parse is not None and isinstance(value, str) else reader(column.type)(value)
    except (ValueError, *ROW_ERRORS) as error:
        raise RestError(f"Can't coerce a field of type {_json_type(value)} into type {column.type}: {error}") from None


def _json_type(value: Any) -> str:
    names = {bool: "BOOLEAN", int: "INTEGER", Decimal: "DOUBLE", str: "STRING", list: "ARRAY", dict: "OBJECT"}
    return names.get(type(value), type(value).__name__)
