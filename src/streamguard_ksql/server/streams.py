"""Answers that go on: rows are pulled from the query as fast as the client takes them, and not a row faster.

Between the query and the client lies one batch of rows. A client that stops reading stops the pulling; one that goes
away ends the query.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streamguard_ksql.server.errors import RestError, fault
from streamguard_ksql.server.formats import JSON, Rows, Writer
from streamguard_ksql.server.queries import Print, Pull, Push, Started
from streamguard_ksql.server.state import Server

log = logging.getLogger("streamguard_ksql.server")
POLL_S = 1.0
ROWS_PER_TURN = 100
NORMAL_ENDS = ("Limit Reached", "Query Completed")


class QueryResponse(StreamingResponse):
    """The rows of a started query, as a writer formats them; however it ends, the query is closed."""

    def __init__(self, server: Server, started: Started, writer: type[Writer]) -> None:
        self.server = server
        self.query_id = None if isinstance(started, Pull) else _query_id(started)
        match started:
            case Push():
                content = _push(server, started, writer(started.result))
            case Pull():
                content = _pull(started, writer(started.result))
            case Print():
                content = _print(server, started)
        super().__init__(content, media_type=JSON if isinstance(started, Print) else writer.content_type)

    def init_headers(self, headers: Any = None) -> None:
        """Without a charset: ksqlDB's clients compare the content type as a whole."""
        super().init_headers(headers)
        self.raw_headers = [
            (name, value.split(b";")[0] if name == b"content-type" else value) for name, value in self.raw_headers
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.query_id is not None:
                self.server.close_soon(self.query_id)


def _query_id(started: Push | Print) -> str:
    return started.result.query_id if isinstance(started, Push) else started.query_id


async def _row_by_row(writer: Writer, rows: Rows) -> AsyncIterator[str]:
    """The text of each row by itself: there are clients that take each chunk for a row, as ksqlDB sends them."""
    for number, row in enumerate(rows, start=1):
        text = writer.rows((row,))
        if text:
            yield text
        if number % ROWS_PER_TURN == 0:
            await asyncio.sleep(0)  # a client that reads fast must not keep the others waiting


async def _push(server: Server, query: Push, writer: Writer) -> AsyncIterator[str]:
    yield writer.head()
    try:
        while (rows := await server.pull(query.stream.next_rows, POLL_S)) is not None:
            async for text in _row_by_row(writer, rows):
                yield text
        reason = query.stream.end_reason
    except Exception as error:
        yield writer.failed(_reason(error, query.result.query_id))
        return
    if reason is None or reason in NORMAL_ENDS:
        yield writer.end(reason)
    else:
        log.error("query %s ended: %s", query.result.query_id, " ".join(reason.split()))
        yield writer.failed(reason)


async def _pull(query: Pull, writer: Writer) -> AsyncIterator[str]:
    yield writer.head()
    try:
        async for text in _row_by_row(writer, query.rows):
            yield text
    except Exception as error:
        yield writer.failed(_reason(error, query.result.query_id))
        return
    end = writer.end(None)
    if end:
        yield end


async def _print(server: Server, query: Print) -> AsyncIterator[str]:
    """Lines as they come; the empty ones that PRINT gives while nothing comes are not for the client."""
    try:
        while (line := await server.pull(query.lines.next_line)) is not None:
            if line:
                yield line.rstrip("\n") + "\n"
    except Exception as error:
        yield _reason(error, query.query_id) + "\n"


def _reason(error: Exception, query_id: str) -> str:
    message = getattr(error, "message", None)
    if isinstance(message, str) and not isinstance(error, RestError):
        return message
    return fault(error, f"running query {query_id}").message
