"""`/healthz` and `/readyz` beside the metrics, for those who start and stop processes: it answers; it can do its work.

The words are Kubernetes's: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler

from streamguard_ksql.runtime.api import Runtime
from streamguard_ksql.server.state import Server

_NOT_HEALTHY = {
    "kafka": "Kafka does not answer",
    "metastore": "the streams and tables cannot be used",
    "commandRunner": "statements cannot be carried out",
}


@dataclass
class Readiness:
    """Whether a server can do its work; `server` is None until it takes requests."""

    runtime: Runtime
    server: Server | None = None

    def reason(self) -> str | None:
        """Why it cannot; None where it can."""
        if self.server is None:
            return "it is starting"
        if self.server.terminated:
            return "it was terminated (/ksql/terminate): start it again"
        found = self.runtime.is_healthy()
        return next(
            (_NOT_HEALTHY.get(part, f"{part} is not healthy") for part, well in found.items() if not well), None
        )


class _Handler(MetricsHandler):
    ready: Readiness
    timeout = 10

    def do_GET(self) -> None:
        """Answer the two paths; the metrics are at every other one."""
        path = urlsplit(self.path).path
        if path == "/healthz":
            self._say(None)
        elif path == "/readyz":
            self._say(self.ready.reason())
        else:
            super().do_GET()

    def _say(self, reason: str | None) -> None:
        body = f"{reason or 'ok'}\n".encode()
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start(port: int, host: str, registry: CollectorRegistry, ready: Readiness) -> ThreadingHTTPServer:
    """Serve metrics and probes on a thread until the process ends. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = type("PageServer", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
    handler = type("Handler", (_Handler,), {"registry": registry, "ready": ready})
    listening: ThreadingHTTPServer = server((host, port), handler)
    threading.Thread(target=listening.serve_forever, name="metrics", daemon=True).start()
    return listening
