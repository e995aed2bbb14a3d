"""Who may give orders: programs on this machine, and no page of a browser.

A page of any site can send a request here without asking (a "simple request" of the Fetch standard) and, with a name of its own
that leads to this address, even read the answer (DNS rebinding). Browsers say where a request comes from; programs do not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from streamguard_ksql.server.early import answer
from streamguard_ksql.server.errors import FORBIDDEN, UNSUPPORTED_TYPE, RestError

_FORMS = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""The content types that a page may send anywhere. curl sends the last one, without saying that it is a browser."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own and reached from no other."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Doors:
    """ASGI middleware: refuses requests that name another host, and those that a page of another site has sent.

    `names` are further hosts under which the server is known, such as the one of `ksql.advertised.listener`.
    """

    def __init__(self, app: Any, names: Iterable[str] = ()) -> None:
        self.app = app
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (error := self._refusal(scope, Headers(scope=scope))):
            await answer(error, scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Any, headers: Headers) -> RestError | None:
        host = headers.get("host", "")
        if not self._is_known(host, scope.get("server")):
            return RestError(
                f"This server is not known as {host[:80]!r}: use its own address, or name it in ksql.advertised.listener.",
                code=FORBIDDEN,
            )
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        if (origin is not None and urlsplit(origin).netloc.lower() != host.lower()) or site in (
            "cross-site",
            "same-site",
        ):
            return RestError(f"A page of {(origin or 'another site')[:80]!r} may not use this server.", code=FORBIDDEN)
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        from_browser = origin is not None or "sec-fetch-mode" in headers
        if scope["method"] == "POST" and kind in _FORMS[: len(_FORMS) if from_browser else 2]:
            return RestError(f"The content type {kind} is none of SQL: send application/json.", code=UNSUPPORTED_TYPE)
        return None

    def _is_known(self, host: str, server: tuple[str, int] | None) -> bool:
        # HTTP/1.0 has no Host, and browsers always send one.
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        # The address itself, where the request has come in, is no name that somebody has led here.
        here = server is not None and name == server[0]
        return not host or here or is_loopback(name) or name.lower() in self._names
