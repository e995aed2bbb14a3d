"""A few requests of Kafka's protocol over a socket, without a client (https://kafka.apache.org/protocol#protocol_messages)."""

from __future__ import annotations

import socket
import struct

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
_LARGEST_ANSWER = 1024 * 1024


class Closed(Exception):
    """The other end closed the connection, or sent what is no answer of Kafka's."""


def ask(connection: socket.socket, api: int, body: bytes, version: int = 0) -> bytes:
    """The body of the answer to one request. Raises Closed."""
    request = struct.pack(">hhi", api, version, 1) + string("streamguard-diagnosis") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    [size] = struct.unpack(">i", _exactly(connection, 4))
    if not 4 <= size <= _LARGEST_ANSWER:
        raise Closed
    return _exactly(connection, size)[4:]


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise Closed
        data += more
    return data


def string(text: str) -> bytes:
    """A STRING."""
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def nullable_string(data: bytes) -> tuple[str | None, bytes]:
    """The NULLABLE_STRING that data begins with, and what follows it."""
    [length] = struct.unpack_from(">h", data)
    if length < 0:
        return None, data[2:]
    return data[2 : 2 + length].decode("utf-8", "replace"), data[2 + length :]


def strings(data: bytes) -> list[str]:
    """An ARRAY of STRING."""
    [count] = struct.unpack_from(">i", data)
    rest = data[4:]
    found = []
    for _ in range(count):
        text, rest = nullable_string(rest)
        found.append(text or "")
    return found
