"""An HTTP/2 client by prior knowledge or over TLS, as ksqlDB's Java client is one: one connection, many streams."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

DELIMITED = "application/vnd.ksqlapi.delimited.v1"


@dataclass
class Stream:
    """A request and what has come of its answer."""

    number: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    taken: int = 0


class Http2Client:
    """Blocking; `next_line` waits until a line is there. With `window` bytes the client reads no further by itself."""

    def __init__(
        self, address: tuple[str, int], timeout_s: float = 10.0, tls: ssl.SSLContext | None = None, **headers: str
    ) -> None:
        """`headers` go with every request."""
        self._socket = socket.create_connection(address, timeout=timeout_s)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self._socket = tls.wrap_socket(self._socket, server_hostname=address[0])
        self._scheme, self._headers = "https" if tls else "http", headers
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._streams: dict[int, Stream] = {}
        self._flush()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def request(self, method: str, path: str, body: bytes | None = None, *, end: bool = True, **headers: str) -> Stream:
        """Send a request; with `end=False` its body goes on with `send`."""
        number = self._connection.get_next_available_stream_id()
        given = {"accept": DELIMITED, **self._headers, **headers}
        pseudo = [(":method", method), (":path", path), (":scheme", self._scheme), (":authority", "localhost")]
        self._connection.send_headers(number, [*pseudo, *given.items()], end_stream=body is None and end)
        stream = self._streams[number] = Stream(number)
        if body is not None:
            self._connection.send_data(number, body, end_stream=end)
        self._flush()
        return stream

    def post(self, path: str, body: Any, **headers: str) -> Stream:
        return self.request("POST", path, json.dumps(body).encode(), end=True, **headers)

    def send(self, stream: Stream, data: bytes, *, end: bool = False) -> None:
        self._connection.send_data(stream.number, data, end_stream=end)
        self._flush()

    def reset(self, stream: Stream) -> None:
        """Cancel a request."""
        self._connection.reset_stream(stream.number)
        self._flush()

    def next_line(self, stream: Stream) -> str | None:
        """The next line of the answer, None at its end."""
        while b"\n" not in stream.body[stream.taken :] and not stream.ended:
            self._read()
        rest = stream.body[stream.taken :]
        if not rest:
            return None
        line = rest.split(b"\n")[0]
        stream.taken += len(line) + 1
        return line.decode()

    def finish(self, stream: Stream) -> str:
        """Wait for the whole answer."""
        while not stream.ended:
            self._read()
        return stream.body.decode()

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in self._connection.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: Any) -> None:
        stream = self._streams.get(getattr(event, "stream_id", 0))
        if stream is None:
            return
        if isinstance(event, ResponseReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            stream.status, stream.headers = int(headers[":status"]), headers
        elif isinstance(event, DataReceived):
            stream.body += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (StreamEnded, StreamReset)):
            stream.ended = True

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())
