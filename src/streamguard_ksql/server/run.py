"""The server as a process: a port, the runtime behind it, and a clean end on SIGTERM or SIGINT.

The port is taken first, so that a taken one is reported before anything is started; it answers once the queries are back.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypercorn.config import Config

from streamguard_ksql.limits import Limits
from streamguard_ksql.runtime import memory
from streamguard_ksql.runtime.clients import Servers
from streamguard_ksql.runtime.service import KafkaRuntime
from streamguard_ksql.runtime.sharing import Member
from streamguard_ksql.server import folder, freeze
from streamguard_ksql.server.app import ADVERTISED, create_app
from streamguard_ksql.server.doors import is_loopback
from streamguard_ksql.server.http import serve
from streamguard_ksql.server.metrics import Served
from streamguard_ksql.server.probes import Readiness
from streamguard_ksql.server.security import Security, SecurityError, security_of
from streamguard_ksql.server.state import Server
from streamguard_ksql.statements.registry import load as load_statements

log = logging.getLogger("streamguard_ksql.server")
LISTENERS = "listeners"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
KEEP_ALIVE_S = 300.0
GRACEFUL_S = 1.0


class StartError(Exception):
    """Why the server cannot start: the message for the person who started it."""


def run(
    listen: str,
    bootstrap_servers: Servers,
    data_dir: Path,
    service_id: str = "default_",
    config: Mapping[str, Any] | None = None,
    *,
    metrics: str | None = None,
    metrics_file: Path | None = None,
    share_as: str | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `share_as` is the name of this engine among those of its service id, None where it is
    alone. `metrics` is the HOST:PORT of a page with figures, whose address is written to
    `metrics_file`. StartError for a port that is taken, an
    address that is none, or logins and TLS that cannot be; KsqlError for a limit that is no number. The setting `listeners`
    goes before `listen`."""
    given = dict(config or {})
    scheme, host, port = parse_address(str(given.get(LISTENERS) or listen))
    Limits.of(given)
    try:
        security = security_of(given, data_dir, scheme)
        security.check_host(host)
    except SecurityError as error:
        raise StartError(str(error)) from None
    # Until there is a server to be stopped in order, there is nothing that a crash could not do as well.
    signal.signal(signal.SIGTERM, _leave)
    listener = bind(host, port)
    memory.look_at_state_once()
    load_statements()
    settings = {"ksql.streams.bootstrap.servers": str(bootstrap_servers), "ksql.streams.state.dir": str(data_dir)}
    try:
        lock = folder.take(data_dir)
    except folder.FolderInUse as error:
        raise StartError(str(error)) from None
    freeze.watch(data_dir)
    me = None if share_as is None else _member(share_as, given, security, host, listener)
    runtime = KafkaRuntime(bootstrap_servers, service_id=service_id, config={**settings, **given}, me=me, on_taken=_end)
    ready, served = Readiness(runtime), None
    try:
        if metrics is not None:
            served = _show(runtime, metrics, ready, metrics_file)
        ready.server = server = Server(runtime, f"{host}:{listener.getsockname()[1]}")
        asyncio.run(_serve(server, listener, security))
    finally:
        if served is not None:
            served.close()
        runtime.close()
        lock.close()


def _member(name: str, config: Mapping[str, Any], security: Security, host: str, listener: socket.socket) -> Member:
    """What the other engines know of this one; StartError for a name that cannot be."""
    if not _NAME.fullmatch(name):
        raise StartError(f"{name!r} is no name of an engine: letters, digits, dots, dashes and underscores are.")
    advertised = str(config.get(ADVERTISED) or "")
    shown = f"[{host}]" if ":" in host else host
    address = advertised or f"{security.scheme}://{shown}:{listener.getsockname()[1]}"
    return Member(name, address.rstrip("/"), version("streamguard"), frozenset())


def _end() -> None:
    """End in order: another engine has this one's name."""
    os.kill(os.getpid(), signal.SIGTERM)


def _show(runtime: KafkaRuntime, address: str, ready: Readiness, file: Path | None) -> Served:
    """Serve the figures of the queries. StartError for an address that others reach; a port that is taken gives way."""
    _, host, port = parse_address(address)
    if not is_loopback(host):
        raise StartError(
            f"Metrics are shown to everybody who asks, so they are served on loopback only, not on {host}."
        )
    return Served(runtime, host, port, ready, file)


def _leave(*_: object) -> None:
    raise SystemExit(0)


def parse_address(listen: str) -> tuple[str, str, int]:
    """HOST:PORT, or a URL of it, as scheme (empty where there is none), host and port; StartError for anything else."""
    if "," in listen:
        raise StartError(f"{listen!r} is more than one address: this server listens on one.")
    scheme, found, address = listen.strip().rpartition("://")
    host, separator, port = address.rstrip("/").rpartition(":")
    if (found and scheme not in ("http", "https")) or not separator or not port.isdigit() or int(port) > 65535:
        raise StartError(f"{listen!r} is not an address of the form HOST:PORT, http://HOST:PORT or https://HOST:PORT.")
    return scheme, host.strip("[]") or "127.0.0.1", int(port)


def bind(host: str, port: int) -> socket.socket:
    """A socket on the address; StartError that names it if that cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio turns Nagle's algorithm off on each connection: else an answer in two parts waits
        # 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise StartError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)  # only so that a second server is refused now; `serve` sets the backlog
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"Port {port} on {host} is already in use: stop what listens there, or choose another with --listen "
                "(STREAMGUARD_KSQLDB_PORT moves the stack's)."
            ) from None
        raise StartError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return listener


async def _serve(server: Server, listener: socket.socket, security: Security) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)

    async def until_stopped() -> None:
        await stopping.wait()
        await asyncio.to_thread(server.close)

    log.info("ksql server on %s://%s", security.scheme, server.host)
    app = create_app(server.runtime, server.host, server, security.logins)
    await serve(app, hypercorn_config(), listener, until_stopped, security.tls)
    await asyncio.to_thread(server.stop_threads)


def hypercorn_config() -> Config:
    """HTTP/1.1 and HTTP/2: with TLS by ALPN, without it by upgrade and by prior knowledge."""
    config = Config()
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1_000_000_000
    config.graceful_timeout = GRACEFUL_S
    config.h2_max_concurrent_streams = 1000
    config.include_server_header = False
    config.loglevel = "WARNING"
    return config
