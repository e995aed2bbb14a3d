"""Requests in absolute form: `POST http://host:8088/query-stream`.

Made for proxies, but a server has to take them too (RFC 9112, section 3.2.2), and one of ksqlDB's Python clients sends
them over HTTP/2.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


class AbsoluteForm:
    """ASGI middleware: cuts scheme and authority off the path."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if "://" in scope.get("path", ""):
            path = urlsplit(scope["path"].lstrip("/")).path or "/"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self.app(scope, receive, send)
