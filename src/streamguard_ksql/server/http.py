"""The HTTP server: hypercorn's connections on a socket of ours, with reason phrases in HTTP/1.1 ("200 OK").

The phrase may be empty, and hypercorn leaves it so; but older HTTP clients (hyper, under one of ksqlDB's Python clients)
do not accept a status line without it. hypercorn has no setting for it, and its `serve` no place for another connection
class, so its connection is subclassed here and served with asyncio's own server. Source: RFC 9112, section 4.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

HANDSHAKE_S = 10.0
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


class _Gone:
    """A stream of HTTP/2 that was answered before its body had come: what is left of the body is for nobody."""

    idle = True

    async def handle(self, event: Any) -> None: ...


class _Streams(dict[int, Any]):
    """The streams of a connection. hypercorn looks for one that has ended when more of its body comes, and fails."""

    def __missing__(self, number: int) -> _Gone:
        return _Gone()


class _Wrapper(ProtocolWrapper):
    """A connection's protocol, HTTP/1.1 with our reason phrases or HTTP/2 with our streams; the one may become the other."""

    _protocol: H11Protocol | H2Protocol

    @property
    def protocol(self) -> H11Protocol | H2Protocol:
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: H11Protocol | H2Protocol) -> None:
        if isinstance(protocol, H11Protocol):
            protocol = _H11Protocol(
                self.app,
                self.config,
                self.context,
                self.task_group,
                self.state,
                self.ssl,
                self.client,
                self.server,
                self.send,
            )
        else:
            protocol.streams = _Streams()
        self._protocol = protocol


class _Connection(TCPServer):
    """A connection with our protocols."""

    @property
    def protocol(self) -> ProtocolWrapper:
        return self._protocol

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:
        self._protocol = _Wrapper(
            wrapper.app,
            wrapper.config,
            wrapper.context,
            wrapper.task_group,
            wrapper.state,
            wrapper.ssl,
            wrapper.client,
            wrapper.server,
            wrapper.send,
            "h2" if isinstance(wrapper.protocol, H2Protocol) else None,
        )


async def serve(
    app: Any,
    config: Config,
    listener: socket.socket,
    until_stopped: Callable[[], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
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
        with suppress(OSError):  # of TLS: a client that leaves without saying so
            await _Connection(wrapped, loop, config, context, {}, reader, writer)

    handshake_s = None if tls is None else HANDSHAKE_S
    server = await asyncio.start_server(
        connected, sock=listener, backlog=config.backlog, ssl=tls, ssl_handshake_timeout=handshake_s
    )
    try:
        await until_stopped()
    finally:
        await context.terminated.set()
        server.close()
        if open_connections:
            await asyncio.wait(open_connections, timeout=config.graceful_timeout)
        for task in open_connections:
            task.cancel()
