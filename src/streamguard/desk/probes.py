"""`/healthz` and `/readyz` of the desk, on its own port: it answers; it can show its pages.

Before the doors, for who probes calls it by the address of its container, and without a login, for what they tell is not secret.
They ask nobody: whoever calls them costs the database nothing.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import PlainTextResponse

from streamguard.desk.doors import SAFE_METHODS
from streamguard.desk.site import Desk

_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Probes:
    """An ASGI application around the desk's."""

    def __init__(self, app: Any, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] not in SAFE_METHODS
            or scope["path"] not in ("/healthz", "/readyz")
        ):
            await self._app(scope, receive, send)
            return
        reason = self._desk.pulse.not_ready() if scope["path"] == "/readyz" else None
        answer = PlainTextResponse(f"{reason or 'ok'}\n", status_code=503 if reason else 200, headers=_NO_STORE)
        await answer(scope, receive, send)
