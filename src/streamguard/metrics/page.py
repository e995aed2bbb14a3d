"""`/metrics`, `/healthz` and `/readyz` of one process, and the file that tells Prometheus where.

The address is on loopback unless STREAMGUARD_METRICS_HOST says otherwise. Its port is that of `targets`; where that is taken
(a second generator), the system gives another.
"""

from __future__ import annotations

import atexit
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from streamguard.config import Settings
from streamguard.metrics import targets

log = logging.getLogger("streamguard.metrics")

Ready = Callable[[], str | None]
"""Why the process cannot do its work, None where it can."""


class Page:
    """What one process shows; nothing with STREAMGUARD_METRICS_PORT=off."""

    def __init__(self, settings: Settings, name: str, collectors: Iterable[Any], ready: Ready) -> None:
        self.port = 0
        """Where it listens; 0 where it does not."""
        if settings.metrics_port == "off":
            return
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        for collector in collectors:
            registry.register(collector)
        server = _listen(settings.metrics_host, targets.port_of(settings, name), registry, ready)
        if server is None:
            return
        self._server = server
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        self.port = self._server.server_address[1]
        self._address = f"{targets.bracketed(_reached_at(settings.metrics_host))}:{self.port}"
        self._file = targets.file_of(settings, name, self._address)
        self._tell(name)
        atexit.register(self.close)
        log.info("metrics on http://%s/metrics", self._address)

    def _tell(self, name: str) -> None:
        found = [{"targets": [self._address], "labels": {"part": name.partition("-")[0]}}]
        # A process alone, on a cluster, makes no state folder. A disk that is full takes no figures away.
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            being_written = self._file.with_suffix(f".{self.port}.tmp")
            being_written.write_text(json.dumps(found) + "\n", encoding="utf-8")
            being_written.replace(self._file)

    def close(self) -> None:
        """Stop listening, and take the file away; once."""
        if not self.port:
            return
        atexit.unregister(self.close)
        self._server.shutdown()
        self._server.server_close()
        with suppress(OSError):
            if targets.read(self._file) == self._address:
                self._file.unlink()


def serve(settings: Settings, name: str, collectors: Iterable[Any], ready: Ready = lambda: None) -> Page:
    """Show the figures of this process until it ends. `ready` is asked for each `/readyz`.

    `name` is that of the part, or PART-DETAIL where a part has several kinds (`sink-jsonl`); the label has the part alone.
    """
    return Page(settings, name, collectors, ready)


def _reached_at(host: str) -> str:
    """The address of this machine where it listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _listen(host: str, port: int, registry: CollectorRegistry, ready: Ready) -> ThreadingHTTPServer | None:
    """A server on the port, or else on any; None, and a line that says so, where the address is none of this machine."""
    handler = type("Handler", (_Handler,), {"registry": registry, "ready": staticmethod(ready)})
    server = _Server6 if ":" in host else _Server
    for number in dict.fromkeys((port, 0)):
        try:
            return server((host, number), handler)
        except OSError as error:
            log.warning("metrics cannot be shown on port %d of %s: %s", number, host, error.strerror or error)
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    ready: Ready
    timeout = 10

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        path = urlsplit(self.path).path
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, kind, encode(self.registry))
        elif path == "/healthz":
            self._say(HTTPStatus.OK, "ok")
        elif path == "/readyz":
            reason = self.ready()
            self._say(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or "ok")
        else:
            self._say(HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz")

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests of a scraper are no events."""
