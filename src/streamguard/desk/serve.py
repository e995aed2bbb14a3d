"""The desk as a process: a port, its threads, and a clean end on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from datetime import timedelta
from urllib.parse import urlsplit

from hypercorn.asyncio import serve as serve_app
from hypercorn.config import Config

from streamguard.config import Settings
from streamguard.database import make_engine
from streamguard.desk.app import create_app
from streamguard.desk.cluster import history_of
from streamguard.desk.doors import Addresses
from streamguard.desk.feed import Feed
from streamguard.desk.pulse import Pulse
from streamguard.desk.render import Renderer
from streamguard.desk.site import Desk
from streamguard.desk.sqlrun import close_all
from streamguard.metrics.page import serve as serve_metrics
from streamguard.stack.door import DeskCannotStart, check_door
from streamguard.stack.parts import desk_url
from streamguard.users.sessions import Lifetimes
from streamguard.webhooks.service import Webhooks

log = logging.getLogger("streamguard.desk")

DESK_NAME = "streamguard-desk"
"""The application name of its connections."""
GRACEFUL_S = 1.0
THREADS = 8


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises DeskCannotStart for a port that is taken, and for an open door."""
    check_door(settings)
    listener = _bind(settings.desk_host, settings.desk_port)
    desk = make_desk(settings, listener.getsockname()[1])
    asyncio.run(_serve(desk, listener))


def make_desk(settings: Settings, port: int) -> Desk:
    """The parts of a desk that listens on `port`."""
    # The feed keeps one connection, the pulse uses one at a time; the rest is for the pages.
    engine = make_engine(settings, DESK_NAME, pages=THREADS)
    feed = Feed(engine)
    return Desk(
        settings=settings,
        engine=engine,
        addresses=Addresses.of(settings, port),
        lifetimes=Lifetimes(
            timedelta(minutes=settings.desk_idle_minutes), timedelta(hours=settings.desk_session_hours)
        ),
        feed=feed,
        pulse=Pulse(settings, engine, feed),
        renderer=Renderer(urlsplit(settings.desk_public_url).path, timedelta(minutes=settings.desk_sla_minutes)),
    )


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        # So that a second desk is refused now; hypercorn sets its own backlog.
        listener.listen(1)
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise DeskCannotStart(
            f"port {port} of {host} {reason}: the desk needs it; STREAMGUARD_DESK_PORT moves it"
        ) from None
    return listener


async def _serve(desk: Desk, listener: socket.socket) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    desk.feed.start(loop)
    desk.pulse.start()
    history = history_of(desk.settings.kafka)
    history.start()
    webhooks = Webhooks(desk.settings, desk.engine)
    webhooks.start()
    page = serve_metrics(desk.settings, "desk", [desk.metrics], desk.pulse.not_ready)
    log.info("desk on %s", desk_url(desk.settings))

    async def until_stopped() -> None:
        await stopping.wait()
        desk.feed.close()
        close_all()

    try:
        await serve_app(create_app(desk), _config(desk.settings, listener), shutdown_trigger=until_stopped)
    finally:
        desk.feed.close()
        await asyncio.to_thread(page.close)
        await asyncio.to_thread(webhooks.close)
        await asyncio.to_thread(history.close)
        await asyncio.to_thread(desk.pulse.close)
        desk.engine.dispose()


def _config(settings: Settings, listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = GRACEFUL_S
    config.keep_alive_timeout = 75.0
    config.include_server_header = False
    config.loglevel = "WARNING"
    # A logger, so that its lines are like all others.
    config.errorlog = logging.getLogger("streamguard.desk.http")
    if settings.desk_certificate is not None and settings.desk_key is not None:
        config.certfile, config.keyfile = str(settings.desk_certificate), str(settings.desk_key)
    return config
