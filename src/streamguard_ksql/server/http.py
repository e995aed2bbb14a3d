"""The HTTP server: hypercorn's connections on a socket of ours, with reason phrases in HTTP/1.1 ("200 OK").

The phrase may be empty, and hypercorn leaves it so; but older HTTP clients (hyper, under one of ksqlDB's Python clients)
do not accept a status line without it. hypercorn has no setting for it, and its `serve` no place for another connection
class, so its connection is subclassed here and served with asyncio's own server. Source: RFC 9112, section 4.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def with_reason(event: Any) -> Any:
    """A head of an answer with its phrase; any other event as it is."""
    if not isinstance(event, (h11.Response, h11.InformationalResponse)) or event.reason:
        return event
    phrase = _PHRASES.get(event.status_code, b"")
    return type(event)(
        status_code=event.status_code, headers=event.headers, http_version=event.http_version, reason=phrase
    )


class _H11Protocol(H11Protocol):
    async def _send_h11_event(self, event: Any) -> None:
        await super()._send_h11_event(with_reason(event))


class _Connection(TCPServer):
    """A connection that begins with our HTTP/1.1 protocol; an upgrade to HTTP/2 goes on as in hypercorn."""

    @property
    def protocol(self) -> ProtocolWrapper:
        return self._protocol

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:
        if isinstance(wrapper.protocol, H11Protocol):
            wrapper.protocol = _H11Protocol(
                wrapper.app,
                wrapper.config,
                wrapper.context,
                wrapper.task_group,
                wrapper.state,
                wrapper.ssl,
                wrapper.client,
                wrapper.server,
                wrapper.send,
            )
        self._protocol = wrapper


async def serve(
    app: Any, config: Config, listener: socket.socket, until_stopped: Callable[[], Awaitable[None]]
) -> None:
    """Serve an ASGI application on a socket until `until_stopped` returns; requests then have `graceful_timeout`."""
    context = WorkerContext(None)
    loop = asyncio.get_running_loop()
    wrapped = ASGIWrapper(app)
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)
        await _Connection(wrapped, loop, config, context, {}, reader, writer)

    server = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
    try:
        await until_stopped()
    finally:
        await context.terminated.set()
        server.close()
        if open_connections:
            await asyncio.wait(open_connections, timeout=config.graceful_timeout)
        for task in open_connections:
            task.cancel()
