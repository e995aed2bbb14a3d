"""`/metrics`, `/healthz` and `/readyz` of one process, on loopback, and the file that tells Prometheus where.

Ports count from `STREAMGUARD_METRICS_PORT` in the order of `PORTS`. Where a port is taken (a second generator), or the setting is
0, the system gives one. The file has the form of file_sd:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from streamguard.config import Settings

log = logging.getLogger("streamguard.metrics")

HOST = "127.0.0.1"
PORTS = ("broker", "ksqldb", "consumer", "desk", "generator", "monitor")
"""The processes that have a port of their own, from the setting's on."""
Ready = Callable[[], str | None]
"""Why the process cannot do its work, None where it can."""


class Page:
    """What one process shows."""

    def __init__(self, settings: Settings, name: str, collectors: Iterable[Any], ready: Ready) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        for collector in collectors:
            self._registry.register(collector)
        self._file = targets_folder(settings) / f"{name}.json"
        self._server = _listen(_port(settings, name), self._registry, ready)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self._tell(name)
        atexit.register(self.close)
        log.info("metrics on http://%s:%d/metrics", HOST, self.port)

    def _tell(self, name: str) -> None:
        targets = [{"targets": [f"{HOST}:{self.port}"], "labels": {"part": name}}]
        # A process alone, on a cluster, makes no state folder. A disk that is full takes no figures away.
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            being_written = self._file.with_suffix(f".{self.port}.tmp")
            being_written.write_text(json.dumps(targets) + "\n", encoding="utf-8")
            being_written.replace(self._file)

    def close(self) -> None:
        """Stop listening, and take the file away; once."""
        atexit.unregister(self.close)
        self._server.shutdown()
        self._server.server_close()
        with suppress(OSError):
            if f":{self.port}" in self._file.read_text(encoding="utf-8"):
                self._file.unlink()


def serve(settings: Settings, name: str, collectors: Iterable[Any], ready: Ready = lambda: None) -> Page:
    """Show the figures of this process until it ends. `ready` is asked for each `/readyz`."""
    return Page(settings, name, collectors, ready)


def targets_folder(settings: Settings) -> Path:
    """Where Prometheus finds the addresses."""
    return settings.state_path / "metrics"


def _port(settings: Settings, name: str) -> int:
    if not settings.metrics_port or name not in PORTS:
        return 0
    return settings.metrics_port + PORTS.index(name)


def _listen(port: int, registry: CollectorRegistry, ready: Ready) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"registry": registry, "ready": staticmethod(ready)})
    try:
        return _Server((HOST, port), handler)
    except OSError as error:
        log.warning("port %d for metrics is taken (%s): another one is used", port, error.strerror)
        return _Server((HOST, 0), handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


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
