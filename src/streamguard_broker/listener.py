"""Accepts connections, without spinning or stopping when the process runs out of open files.

asyncio's own server accepts hundreds of sockets before a protocol sees one, and those in a TLS handshake are nobody's.
Here each accepted socket is counted at once (`admission`), the handshake included.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from streamguard_broker.admission import Admission
from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection

log = logging.getLogger(__name__)

_BACKLOG = 512
_ACCEPT_AT_ONCE = 16
_PAUSE_SECONDS = 0.2
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """The listening sockets of the broker's address."""

    def __init__(self, broker: Broker, admission: Admission[Connection], tls: ssl.SSLContext | None) -> None:
        self._broker = broker
        self._admission = admission
        self._tls = tls
        self._sockets: list[socket.socket] = []

    def open(self, host: str, port: int) -> int:
        """Listen on every address of `host`; returns the port (the real one for port 0). Raises OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
        return self.serve([socket.create_server(a, family=family, backlog=_BACKLOG) for family, a in addresses])

    def serve(self, listening: list[socket.socket]) -> int:
        """Accept from sockets that listen; returns the port of the first."""
        self._sockets = listening
        for one in listening:
            one.setblocking(False)
            asyncio.get_running_loop().add_reader(one, self._accept, one)
        return int(listening[0].getsockname()[1])

    def close(self) -> None:
        """Accept nothing more."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            accepted.setblocking(False)
            # asyncio does this only for sockets that were made with IPPROTO_TCP. Without it the second of two responses
            # waits until the client's kernel has acknowledged the first, 40 ms on Linux.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self._broker, str(peer[0]), int(peer[1]), self._admission.remove)
            if self._admission.admit(connection):
                self._broker.metrics.connections += 1
                opening = asyncio.get_running_loop().create_task(self._open(accepted, connection))
                opening.add_done_callback(partial(self._opened, accepted, connection))
                connection.opening = opening
            else:
                accepted.close()

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """No file is left: make room, and look again later; a ready socket would be reported without end."""
        if error.errno in _EXHAUSTED:
            self._admission.close_oldest_silent("open files")
        self._admission.report("open files", f"no connection can be accepted ({error.strerror})")
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        """Give the socket to its connection, after the TLS handshake if there is one."""
        factory: Callable[[], Connection] = lambda: connection  # noqa: E731  # typed
        timeout = self._broker.options.silent_timeout_ms / 1000 if self._tls else None
        with contextlib.suppress(OSError, ssl.SSLError):  # a client that is gone, or speaks no TLS
            await asyncio.get_running_loop().connect_accepted_socket(
                factory, accepted, ssl=self._tls, ssl_handshake_timeout=timeout
            )

    def _opened(self, accepted: socket.socket, connection: Connection, _: asyncio.Task[None]) -> None:
        """A task that was cancelled before it began has run nothing: what it leaves is closed here."""
        connection.opening = None
        if not connection.connected:
            self._admission.remove(connection)
            accepted.close()
