"""From a frame to a handler, and from its answer to a frame. No I/O and no state.

Request header v1 (v2 where the version is flexible): API key, version, correlation id, client id, tagged fields.
https://kafka.apache.org/protocol#protocol_messages
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from streamguard_broker.api import HANDLERS
from streamguard_broker.broker import Broker
from streamguard_broker.errors import RequestError
from streamguard_broker.nulls import find_null
from streamguard_broker.registry import Call, Caller, Handler
from streamguard_broker.wire import Reader, frame


class Request(NamedTuple):
    """A frame with its header decoded. `body` is None for a version that is not supported."""

    handler: Handler
    call: Call
    correlation_id: int
    body: memoryview | None


def read_request(data: memoryview, broker: Broker, caller: Caller, *, authenticated: bool) -> Request:
    """Decode the header. Raises RequestError."""
    try:
        return _read_header(data, broker, caller, authenticated)
    except (struct.error, IndexError, ValueError) as error:
        raise RequestError(f"an invalid request header: {error}") from error


def _read_header(data: memoryview, broker: Broker, caller: Caller, authenticated: bool) -> Request:
    reader = Reader(data)
    key, version, correlation_id = reader.int16(), reader.int16(), reader.int32()
    handler = HANDLERS.get(key)
    if handler is None:
        raise RequestError(f"unsupported API key {key}")
    if not authenticated and not handler.before_authentication:
        raise RequestError(f"{handler.name} before authentication")
    if not handler.min_version <= version <= handler.max_version:
        if handler.unsupported_version is None:
            raise RequestError(f"unsupported version {version} of {handler.name}")
        return Request(handler, Call(broker, caller, "", 0), correlation_id, None)
    client_id = reader.string() or ""
    reader.flexible = handler.flexible(version)
    reader.tags()
    return Request(handler, Call(broker, caller, client_id, version), correlation_id, data[reader.position :])


def call_handler(request: Request) -> Any:
    """The handler's answer, or an awaitable of it. Raises RequestError for an invalid body."""
    handler, call, _, body = request
    if body is None:
        assert handler.unsupported_version is not None
        return handler.unsupported_version()
    name = f"{handler.name} request v{call.version}"
    if handler.raw:
        try:
            return handler.function(call, body)
        except (struct.error, IndexError, ValueError) as error:
            raise RequestError(f"an invalid {name}: {error!r}") from error
    try:
        # A copy: handlers may keep parts of the request, and the receive buffer is used again.
        message = handler.request_class.decode(bytes(body), version=call.version)
    except Exception as error:  # the codec raises errors of many types, assertions among them
        raise RequestError(f"an invalid {name}: {error!r}") from error
    null = find_null(message, handler.request_class._struct, call.version)
    if null is not None:
        raise RequestError(f"an invalid {name}: {null} is null")
    return handler.function(call, message)


def encode_response(request: Request, answer: Any) -> list[bytes | bytearray]:
    """The buffers of the response frame; none for an answer of None."""
    if answer is None:
        return []
    handler, version = request.handler, request.call.version
    body = answer if isinstance(answer, list) else [answer.encode(version=version)]
    flexible = handler.flexible(version) and not handler.plain_header
    return frame(request.correlation_id, body, flexible=flexible)
