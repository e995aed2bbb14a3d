"""One client connection: frames in, frames out, responses in the order of the requests.

    buffer_updated -> _process: take complete frames from `frames.FrameReader`
      -> _handle: `dispatch` decodes the header and calls the handler; its answer becomes a slot in the queue
      -> _drain: send the slots that are ready, oldest first

As in Kafka, the next request is taken when the last one is answered; but requests of pipelined APIs (Produce) are taken
one after the other, so that they share a sync. Memory is bounded: while responses are outstanding, or the client does
not read, or a large frame waits for the memory budget, nothing more is read from the socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from streamguard_broker.broker import Broker
from streamguard_broker.dispatch import Request, call_handler, encode_response, read_request
from streamguard_broker.errors import RequestError
from streamguard_broker.frames import RECEIVE_BYTES, FrameReader
from streamguard_broker.registry import Caller

log = logging.getLogger(__name__)

_MAX_FRAME_BEFORE_AUTHENTICATION = 64 * 1024


class _Slot:
    """An outstanding response: its buffers once `ready`; none for a request without response."""

    __slots__ = ("buffers", "pipelined", "ready", "task")

    def __init__(self, *, pipelined: bool) -> None:
        self.pipelined = pipelined
        self.buffers: list[bytes | bytearray] = []
        self.ready = False
        self.task: asyncio.Future[Any] | None = None


class Connection(asyncio.BufferedProtocol):
    """The protocol object that asyncio makes for each accepted socket.

    caller          the client
    host            its address
    opened_ms       monotonic time when it was accepted
    last_active_ms  monotonic time when bytes were last received, or the client read from a full socket
    connected       the transport has been made: after the TLS handshake
    opening         the task that makes it, until then
    """

    def __init__(self, broker: Broker, host: str, port: int, on_close: Callable[[Connection], None]) -> None:
        """`on_close` is called once the connection is lost."""
        self._broker = broker
        self._on_close = on_close
        self._options = broker.options
        self._frames = FrameReader(broker.budget, self._process)
        self._slots: deque[_Slot] = deque()
        self._backlog = 0
        self._transport: asyncio.Transport | None = None
        self._write_paused = False
        self._read_paused = False
        self._heard = False
        self.caller = Caller(host, port)
        self.host = host
        self.connected = False
        self.opening: asyncio.Task[None] | None = None
        self.opened_ms = self.last_active_ms = broker.clock.monotonic_ms()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.connected = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_close(self)
        self._transport = None
        for slot in self._slots:
            if slot.task is not None:
                slot.task.cancel()
        self._slots.clear()
        self._report_backlog()
        self._frames.close()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self.last_active_ms = self._broker.clock.monotonic_ms()
        self._report_backlog()
        self._drain()
        self._process()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._frames.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._frames.received(nbytes)
        self.last_active_ms = self._broker.clock.monotonic_ms()
        self._process()

    # Called by the server

    def close(self) -> None:
        """End the connection after what is already written."""
        if self._transport is not None:
            self._transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        """End the connection at once, in its TLS handshake too."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    @property
    def silent(self) -> bool:
        """Whether nothing valid has been received yet: no request or, where it is required, no login."""
        return self._unauthenticated if self._options.sasl else not self._heard

    def close_if_stalled(self, now_ms: int) -> None:
        """End it if it was idle for too long, does not read its responses, or stopped in the middle of a frame."""
        idle_ms = now_ms - self.last_active_ms
        idle = idle_ms > self._options.idle_timeout_ms and (not self._slots or self._write_paused)
        stalled = self._frames.partial and idle_ms > self._options.stalled_frame_timeout_ms
        if idle or stalled:
            log.info("closing %s:%d: idle for %d ms", self.caller.host, self.caller.port, idle_ms)
            self.abort()

    # Requests

    @property
    def _unauthenticated(self) -> bool:
        """Whether authentication is required and not complete."""
        return self._options.sasl and self.caller.principal is None

    def _process(self) -> None:
        """Take requests while this connection may."""
        if self._transport is None:
            return
        try:
            while not self._busy():
                largest = _MAX_FRAME_BEFORE_AUTHENTICATION if self._unauthenticated else self._options.max_frame_bytes
                data = self._frames.next_frame(largest)
                if data is None:
                    break
                self._handle(data)
        except RequestError as error:
            log.warning("closing %s:%d: %s", self.caller.host, self.caller.port, error)
            self.abort()
        except Exception:
            log.exception("closing %s:%d: a handler failed", self.caller.host, self.caller.port)
            self.abort()
        self._pause_or_resume_reading()

    def _busy(self) -> bool:
        return (
            self._transport is None
            or self._transport.is_closing()
            or self._write_paused
            or self._frames.waiting
            or len(self._slots) >= self._options.max_pipelined_requests
            or bool(self._slots and not self._slots[-1].pipelined)
        )

    def _pause_or_resume_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        busy = self._busy()
        if busy and not self._read_paused:
            self._transport.pause_reading()
        elif not busy and self._read_paused:
            self._transport.resume_reading()
        self._read_paused = busy

    def _handle(self, data: memoryview) -> None:
        started = perf_counter()
        request = read_request(data, self._broker, self.caller, authenticated=not self._unauthenticated)
        slot = _Slot(pipelined=request.handler.pipelined)
        self._slots.append(slot)
        answer = call_handler(request)
        self._heard = True
        if asyncio.iscoroutine(answer):
            slot.task = asyncio.get_running_loop().create_task(self._complete(slot, request, answer, started))
        else:
            self._finish(slot, encode_response(request, answer))
            self._broker.metrics.request(request.handler.name, perf_counter() - started)

    async def _complete(self, slot: _Slot, request: Request, answer: Awaitable[Any], started: float) -> None:
        """Wait for an answer and send it in the same step, so that the budget counts it before more is read."""
        handler = request.handler
        try:
            self._finish(slot, encode_response(request, await answer))
        except Exception:
            log.exception("%s v%d failed", handler.name, request.call.version)
            self.abort()
            return
        self._broker.metrics.request(handler.name, perf_counter() - started)
        self._process()

    # Responses

    def _finish(self, slot: _Slot, buffers: list[bytes | bytearray]) -> None:
        slot.buffers = buffers
        slot.ready = True
        slot.task = None
        self._drain()

    def _drain(self) -> None:
        transport = self._transport
        while self._slots and self._slots[0].ready and not self._write_paused and transport is not None:
            buffers = self._slots.popleft().buffers
            if len(buffers) > 1 and sum(map(len, buffers)) > RECEIVE_BYTES:
                for buffer in buffers:
                    transport.write(buffer)
            elif buffers:
                transport.write(b"".join(buffers))
        if transport is not None:
            self._report_backlog()
        if self.caller.close_after and not self._slots:
            self.close()

    def _report_backlog(self) -> None:
        """Tell the budget how many bytes of responses this client has not read."""
        backlog = self._transport.get_write_buffer_size() if self._transport is not None else 0
        self._broker.budget.add_backlog(backlog - self._backlog)
        self._backlog = backlog
