"""One client connection: frames in, frames out, answers in the order of the requests.

    buffer_updated -> _process: cut whole frames out of what came
      -> _handle: header, registry, handler; what the handler returns becomes a slot in the queue
      -> _drain: send the slots that are ready, oldest first

As in Kafka, the next request waits until the last is answered; but produce requests are taken one after the other, in
order, so that they share a sync. Memory is bounded: a frame above the limit ends the connection; a large one waits
until the broker's budget admits it; while answers are owed, or the client does not read, nothing more is read.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable
from time import perf_counter
from typing import Any

from streamguard_broker.api.versions import versions_response
from streamguard_broker.broker import Broker
from streamguard_broker.errors import ErrorCode
from streamguard_broker.nulls import find_null
from streamguard_broker.registry import HANDLERS, Call, Caller, Handler
from streamguard_broker.wire import Reader, frame

log = logging.getLogger(__name__)

_RECEIVE_BYTES = 64 * 1024
_GROW_BYTES = 1024 * 1024
_PRODUCE = 0
_API_VERSIONS = 18
_BEFORE_LOGIN = frozenset({_API_VERSIONS, 17, 36})  # SaslHandshake, SaslAuthenticate
_MAX_FRAME_BEFORE_LOGIN = 64 * 1024


class RequestError(Exception):
    """Invalid bytes; the connection ends, as in Kafka."""


class _Slot:
    """An answer owed: its buffers once ready; empty for a request without answer."""

    __slots__ = ("buffers", "pipelined", "ready", "task")

    def __init__(self, *, pipelined: bool) -> None:
        self.pipelined = pipelined
        self.buffers: list[bytes | bytearray] = []
        self.ready = False
        self.task: asyncio.Future[Any] | None = None


class Connection(asyncio.BufferedProtocol):
    """The protocol object asyncio makes for each accepted socket."""

    def __init__(self, broker: Broker, connections: set[Connection]) -> None:
        self._broker = broker
        self._connections = connections
        self._options = broker.options
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._start = 0
        self._end = 0
        self._large: bytearray | None = None
        self._large_size = 0
        self._admitted = 0
        self._awaits_admission = False
        self._backlog = 0
        self._slots: deque[_Slot] = deque()
        self._transport: asyncio.Transport | None = None
        self._write_paused = False
        self._read_paused = False
        self.caller = Caller("", 0)
        self.last_active_ms = broker.clock.monotonic_ms()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername") or ("", 0)
        self.caller = Caller(str(peer[0]), int(peer[1]))
        if len(self._connections) >= self._options.max_connections:
            log.warning("rejected %s:%d: %d connections are open", *peer[:2], len(self._connections))
            transport.abort()
            return
        self._connections.add(self)
        self._broker.metrics.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        for slot in self._slots:
            if slot.task is not None:
                slot.task.cancel()
        self._slots.clear()
        self._large = None
        self._report_backlog()
        self._release()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self.last_active_ms = self._broker.clock.monotonic_ms()
        self._report_backlog()
        self._drain()
        self._process()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._large is not None:
            if self._end == len(self._large):
                self._large.extend(bytes(min(self._large_size - self._end, max(_GROW_BYTES, self._end))))
            return memoryview(self._large)[self._end :]
        if self._end == len(self._buffer):
            self._compact()
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        self.last_active_ms = self._broker.clock.monotonic_ms()
        self._process()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection after what is already written."""
        if self._transport is not None:
            self._transport.close()

    def close_if_stalled(self, now_ms: int) -> None:
        """End it if it was idle for too long, does not read its answers, or stopped in the middle of a frame."""
        idle_ms = now_ms - self.last_active_ms
        idle = idle_ms > self._options.idle_timeout_ms and (not self._slots or self._write_paused)
        stalled = self._large is not None and idle_ms > self._options.stalled_frame_timeout_ms
        if idle or stalled:
            log.info("closing %s:%d: idle for %d ms", self.caller.host, self.caller.port, idle_ms)
            self._abort()

    @property
    def _unauthenticated(self) -> bool:
        """Whether authentication is required and not complete."""
        return self._options.sasl and self.caller.principal is None

    # Frames

    def _compact(self) -> None:
        """Make room: a fresh buffer, for handlers may still hold views of the old one."""
        fresh = bytearray(_RECEIVE_BYTES)
        rest = self._end - self._start
        fresh[:rest] = memoryview(self._buffer)[self._start : self._end]
        self._buffer, self._start, self._end = fresh, 0, rest

    def _process(self) -> None:
        try:
            while not self._busy():
                body = self._next_frame()
                if body is None:
                    break
                self._handle(body)
        except RequestError as error:
            log.warning("closing %s:%d: %s", self.caller.host, self.caller.port, error)
            self._abort()
        except Exception:
            log.exception("closing %s:%d: a handler failed", self.caller.host, self.caller.port)
            self._abort()
        self._balance_reading()

    def _busy(self) -> bool:
        return (
            self._transport is None
            or self._transport.is_closing()
            or self._write_paused
            or self._awaits_admission
            or len(self._slots) >= self._options.max_pipelined_requests
            or bool(self._slots and not self._slots[-1].pipelined)
        )

    def _balance_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        busy = self._busy()
        if busy and not self._read_paused:
            self._transport.pause_reading()
        elif not busy and self._read_paused:
            self._transport.resume_reading()
        self._read_paused = busy

    def _next_frame(self) -> memoryview | None:
        """The next whole frame without its size, or None."""
        if self._large is not None:
            if self._end < self._large_size:
                return None
            view = memoryview(self._large)
            self._large = None
            self._start = self._end = 0
            self._release()
            return view
        have = self._end - self._start
        if have < 4:
            return None
        size = struct.unpack_from(">i", self._buffer, self._start)[0]
        most = _MAX_FRAME_BEFORE_LOGIN if self._unauthenticated else self._options.max_frame_bytes
        if not 8 <= size <= most:
            raise RequestError(f"a frame of {size} bytes (8 to {most} are allowed)")
        if have >= size + 4:
            begin = self._start + 4
            self._start = begin + size
            return memoryview(self._buffer)[begin : begin + size]
        if size + 4 > len(self._buffer):
            if self._broker.budget.admit(size, self._admission):
                self._admitted = size
                self._begin_large(size)
            else:
                self._awaits_admission = True
        elif self._start + size + 4 > len(self._buffer):
            self._compact()
        return None

    def _admission(self) -> None:
        """Something was released: look at the waiting frame again."""
        self._awaits_admission = False
        if self._transport is not None:
            self._process()

    def _release(self) -> None:
        if self._admitted:
            size, self._admitted = self._admitted, 0
            self._broker.budget.release(size)

    def _report_backlog(self) -> None:
        """Keep the budget's view of what this client has not taken."""
        backlog = self._transport.get_write_buffer_size() if self._transport is not None else 0
        self._broker.budget.add_backlog(backlog - self._backlog)
        self._backlog = backlog

    def _begin_large(self, size: int) -> None:
        """A frame that the buffer cannot hold gets one of its own, which grows with what really comes."""
        rest = memoryview(self._buffer)[self._start + 4 : self._end]
        self._large = bytearray(min(size, max(_GROW_BYTES, 2 * len(rest))))
        self._large[: len(rest)] = rest
        self._large_size = size
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._start, self._end = 0, len(rest)

    # Requests

    def _handle(self, data: memoryview) -> None:
        started = perf_counter()
        try:
            handler, call, correlation_id, body = self._read_header(data)
        except (struct.error, IndexError, ValueError) as error:
            raise RequestError(f"an unreadable request header: {error}") from error
        slot = _Slot(pipelined=handler is not None and handler.key == _PRODUCE)
        self._slots.append(slot)
        if handler is None:
            self._finish(slot, self._refuse_version(correlation_id))
            return
        answer = self._call(handler, call, body)
        if asyncio.iscoroutine(answer):
            waiting = self._complete(slot, handler, call, correlation_id, answer, started)
            slot.task = asyncio.get_running_loop().create_task(waiting)
        else:
            self._finish(slot, self._encode(handler, call, correlation_id, answer))
            self._broker.metrics.request(handler.name, perf_counter() - started)

    def _read_header(self, data: memoryview) -> tuple[Handler | None, Call, int, memoryview]:
        """Request header v1, or v2 where the version is flexible: key, version, correlation id, client id."""
        reader = Reader(data)
        key, version, correlation_id = reader.int16(), reader.int16(), reader.int32()
        handler = HANDLERS.get(key)
        if handler is None:
            raise RequestError(f"unsupported API key {key}")
        if self._unauthenticated and key not in _BEFORE_LOGIN:
            raise RequestError(f"{handler.name} before authentication")
        if not handler.min_version <= version <= handler.max_version:
            if key != _API_VERSIONS:
                raise RequestError(f"unsupported version {version} of {handler.name}")
            return None, Call(self._broker, self.caller, "", 0), correlation_id, data
        client_id = reader.string() or ""
        reader.flexible = handler.flexible(version)
        reader.tags()
        return handler, Call(self._broker, self.caller, client_id, version), correlation_id, data[reader.position :]

    @staticmethod
    def _call(handler: Handler, call: Call, body: memoryview) -> Any:
        """Decode and hand over. A decoded request must not point into the receive buffer, which is used again."""
        if handler.raw:
            try:
                return handler.function(call, body)
            except (struct.error, IndexError, ValueError) as error:
                raise RequestError(f"an unreadable {handler.name} request v{call.version}: {error!r}") from error
        try:
            request = handler.request_class.decode(bytes(body), version=call.version)
        except Exception as error:  # the codec fails on nonsense in ways of its own, assertions among them
            raise RequestError(f"an unreadable {handler.name} request v{call.version}: {error!r}") from error
        null = find_null(request, handler.request_class._struct, call.version)
        if null is not None:
            raise RequestError(f"a {handler.name} request v{call.version} whose {null} is null")
        return handler.function(call, request)

    @staticmethod
    def _refuse_version(correlation_id: int) -> list[bytes | bytearray]:
        """ApiVersions of a version we do not know: our list in version 0, with an error (KIP-511)."""
        response = versions_response(ErrorCode.UNSUPPORTED_VERSION)
        return frame(correlation_id, [response.encode(version=0)], flexible=False)

    @staticmethod
    def _encode(handler: Handler, call: Call, correlation_id: int, answer: Any) -> list[bytes | bytearray]:
        if answer is None:
            return []
        body = answer if isinstance(answer, list) else [answer.encode(version=call.version)]
        flexible = handler.flexible(call.version) and handler.key != _API_VERSIONS
        return frame(correlation_id, body, flexible=flexible)

    async def _complete(
        self, slot: _Slot, handler: Handler, call: Call, correlation_id: int, answer: Awaitable[Any], started: float
    ) -> None:
        """Wait for an answer and send it in the same step, so that the budget sees it before anybody reads more."""
        try:
            result = await answer
            self._finish(slot, self._encode(handler, call, correlation_id, result))
        except Exception:
            log.exception("%s v%d failed", handler.name, call.version)
            self._abort()
            return
        self._broker.metrics.request(handler.name, perf_counter() - started)
        self._process()

    # Answers

    def _finish(self, slot: _Slot, buffers: list[bytes | bytearray]) -> None:
        slot.buffers = buffers
        slot.ready = True
        slot.task = None
        self._drain()

    def _drain(self) -> None:
        transport = self._transport
        while self._slots and self._slots[0].ready and not self._write_paused and transport is not None:
            buffers = self._slots.popleft().buffers
            if len(buffers) > 1 and sum(map(len, buffers)) > _RECEIVE_BYTES:
                for buffer in buffers:
                    transport.write(buffer)
            elif buffers:
                transport.write(b"".join(buffers))
        if transport is not None:
            self._report_backlog()
        if self.caller.close_after and not self._slots:
            self.close()
