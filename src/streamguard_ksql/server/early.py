"""Refusals of requests whose body nobody has read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import orjson
from starlette.responses import Response

from streamguard_ksql.server.errors import UNAUTHORIZED, RestError

_DISCARDED_BYTES, _DISCARDING_S = 16_000_000, 5.0


async def answer(error: RestError, scope: Any, receive: Any, send: Any, realm: str = "") -> None:
    """Send a refusal; `realm` is what a login is asked for (RFC 7617)."""
    headers = {"content-type": "application/json"}
    if error.code == UNAUTHORIZED:
        headers["www-authenticate"] = f'Basic realm="{realm}"'
    if scope["http_version"] != "2":
        # The connection is closed behind it; with a body that was not read it would be reset, and the answer lost.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_discard(receive), _DISCARDING_S)
    await Response(orjson.dumps(error.body), error.status, headers)(scope, receive, send)


async def _discard(receive: Any) -> None:
    size, more = 0, True
    while more and size < _DISCARDED_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
