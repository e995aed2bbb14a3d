"""Start, serve, stop: the broker as a process.

`run` blocks until SIGTERM or SIGINT. Logged, one line each: recovered, listening, shut down.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from streamguard_broker import targets
from streamguard_broker.admission import Admission
from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection
from streamguard_broker.errors import BrokerError
from streamguard_broker.exposition import MetricsServer
from streamguard_broker.listener import Listener
from streamguard_broker.logs import configure_logging
from streamguard_broker.options import BrokerOptions
from streamguard_broker.security.listener import check_listener, is_loopback, tls_context

log = logging.getLogger("streamguard_broker")

_TICK_SECONDS = 0.05
_STOP_SECONDS = 5.0


def parse_listen(listen: str, kind: str = "listen") -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT for IPv6. Raises BrokerError."""
    host, separator, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise BrokerError(f"The {kind} address {listen!r} is not of the form HOST:PORT.")
    return host, int(port)


class Server:
    """A broker with its listener and its housekeeping."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._admission: Admission[Connection] = Admission(broker.options, broker.clock)
        self._listener: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = MetricsServer(broker, self._admission)

    async def start(self) -> int:
        """Listen; returns the port (the real one for port 0). Raises BrokerError."""
        options = self._broker.options
        check_listener(options, users=bool(self._broker.users.credentials))
        self._listener = Listener(self._broker, self._admission, tls_context(options))
        # First: whoever reaches the broker finds them.
        if options.metrics_listen is not None:
            await self._start_metrics(*options.metrics_listen)
        try:
            port = self._listener.open(options.host, options.port)
        except socket.gaierror as error:
            raise BrokerError(f"The listen address {options.host} is unknown: {error.strerror}.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BrokerError(
                    f"Port {options.port} on {options.host} is in use; stop what uses it or choose another --listen."
                ) from error
            raise BrokerError(
                f"Cannot listen on {options.host}:{options.port}: {os.strerror(error.errno or 0)}."
            ) from error
        self._broker.advertised = options.advertise or (options.host, port)
        self._tasks = [
            asyncio.create_task(self._every(_TICK_SECONDS, self._broker.groups.tick)),
            asyncio.create_task(self._every(options.flush_interval_ms / 1000, self._broker.flush_idle)),
            asyncio.create_task(self._every(1.0, self._broker.tidy_state)),
            asyncio.create_task(
                self._every(options.retention_check_interval_ms / 1000, self._broker.enforce_retention)
            ),
            asyncio.create_task(self._every(options.compaction_interval_ms / 1000, self._broker.compact)),
            asyncio.create_task(self._every(1.0, self._broker.transactions.abort_expired)),
            asyncio.create_task(self._every(1.0, self._admission.close_silent)),
            asyncio.create_task(self._every(10.0, self._close_idle)),
        ]
        return port

    async def _start_metrics(self, host: str, port: int) -> None:
        if not is_loopback(host):
            raise BrokerError(f"Metrics are served on loopback only, not on {host}.")
        taken = await self._listen_for_metrics(host, port)
        if taken is not None and port:
            log.warning("the metrics port %d on %s cannot be used (%s): another one is taken", port, host, taken)
            taken = await self._listen_for_metrics(host, 0)
        if taken is not None:
            log.warning("metrics cannot be served on %s (%s): the broker does without", host, taken)
            return
        log.info("metrics on http://%s:%d/metrics", f"[{host}]" if ":" in host else host, self._metrics.port)
        if self._broker.options.metrics_file is not None:
            targets.write(self._broker.options.metrics_file, host, self._metrics.port)

    async def _listen_for_metrics(self, host: str, port: int) -> str | None:
        """Why that cannot be; None where it listens."""
        try:
            await self._metrics.start(host, port)
        except OSError as error:
            return os.strerror(error.errno or 0)
        return None

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None] | None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                result = action()
                if result is not None:
                    await result
            except Exception:
                log.exception("housekeeping failed")

    def _close_idle(self) -> None:
        now_ms = self._broker.clock.monotonic_ms()
        for connection in self._admission:
            connection.close_if_stalled(now_ms)

    async def stop(self) -> None:
        """Stop accepting requests, close the connections, sync and close the partitions."""
        if self._broker.options.metrics_file is not None and self._metrics.port:
            targets.remove(self._broker.options.metrics_file, self._metrics.port)
        self._metrics.close()
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        for connection in self._admission:
            connection.close()
        deadline = time.monotonic() + _STOP_SECONDS
        while len(self._admission) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await self._broker.close()


async def serve(options: BrokerOptions) -> None:
    """Open, listen, wait for a signal, stop. Raises BrokerError."""
    started = time.monotonic()
    broker = Broker(options)
    server = Server(broker)
    try:
        port = await server.start()
    except BrokerError:
        await server.stop()
        raise
    log.info(
        "listening on %s:%d: %d topics, ready in %.2f s",
        options.host,
        port,
        len(broker.catalog.topics),
        time.monotonic() - started,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    log.info("shutting down")
    await server.stop()
    log.info("shut down")


def run(data_dir: Path, listen: str, options: BrokerOptions | None = None, *, log_format: str = "text") -> None:
    """Run a broker on `data_dir` at `listen` (HOST:PORT) until SIGTERM or SIGINT.

    `options` gives everything else; its folder and address are replaced. `log_format` is text or json. Raises BrokerError
    with one sentence: port in use, folder locked, no disk space, bad address.
    """
    host, port = parse_listen(listen)
    raise_file_limit()
    base = options or BrokerOptions(data_dir)
    configure_logging(log_format)
    asyncio.run(serve(replace(base, data_dir=Path(data_dir), host=host, port=port)))


def raise_file_limit() -> None:
    """As many open files as the system allows: each partition and connection takes one, and soft limits are low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
