"""Kafka requests over a socket, in the versions and with the contents that a test wants; no client in between.

with WireClient(broker.address) as client:
    client.ask(ListGroupsRequest(), ListGroupsResponse, version=4)
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Any

ANSWER_SECONDS = 60.0
API_VERSIONS = 18


class WireClient:
    """One connection. Raises ConnectionError where the broker closes it."""

    def __init__(self, address: str, client_id: str = "wire") -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)
        self._client_id = client_id.encode()
        self._correlation_id = 0

    def ask(self, request: Any, response_class: Any, *, version: int) -> Any:
        """The response to one request."""
        self._correlation_id += 1
        flexible = request.flexible_version_q(version)
        header = struct.pack(">hhi", request.API_KEY, version, self._correlation_id)
        header += struct.pack(">h", len(self._client_id)) + self._client_id + (b"\0" if flexible else b"")
        frame = header + request.encode(version=version)
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        answer = self._take(struct.unpack(">i", self._take(4))[0])
        tagged = flexible and request.API_KEY != API_VERSIONS  # whose response header never has tagged fields
        return response_class.decode(answer[5 if tagged else 4 :], version=version)

    def close(self) -> None:
        self._socket.close()

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the broker has closed the connection")
            data += more
        return data

    def __enter__(self) -> WireClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
