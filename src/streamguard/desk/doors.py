"""The doors: which hosts and origins are answered, the headers of each answer, and how often a password may be tried.

Sources: the OWASP cheat sheets on Cross-Site Request Forgery Prevention and HTTP Headers; CSP Level 3.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response

from streamguard.config import Settings

SAFE_METHODS = ("GET", "HEAD")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Addresses:
    """How the desk may be addressed: the values of `Host`, and the origins whose pages may send forms."""

    hosts: frozenset[str]
    origins: frozenset[str]
    is_secure: bool
    """Whether browsers reach it by https: cookies are then marked Secure."""
    root: str = ""
    """The path of the public address; a proxy may pass it on or cut it off."""

    @classmethod
    def of(cls, settings: Settings, port: int) -> Addresses:
        """The names of loopback with the port that it listens on, and the public address."""
        scheme = "https" if settings.desk_certificate else "http"
        names = {*LOOPBACK, settings.desk_host}
        hosts = {f"{name}:{port}" for name in names} | (names if port in (80, 443) else set())
        origins = {f"{scheme}://{host}" for host in hosts}
        public = urlsplit(settings.desk_public_url)
        if public.netloc:
            hosts.add(public.netloc)
            origins.add(f"{public.scheme}://{public.netloc}")
        return cls(frozenset(hosts), frozenset(origins), "https" in (scheme, public.scheme), public.path)


class Doors:
    """An ASGI application around the desk's: wrong hosts and origins do not pass, every answer has the headers."""

    def __init__(self, app: Any, addresses: Addresses) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            refusal = _sentence(scope["path"], "This address has a character that nothing here has (NUL).", 400)
            await refusal(scope, receive, self._with_headers(send))
            return
        if sentence := self._refusal(scope["method"], Headers(scope=scope)):
            await _sentence(scope["path"], sentence, 403)(scope, receive, self._with_headers(send))
            return
        root = self._addresses.root
        if root and scope["path"].startswith(root + "/"):
            scope = {**scope, "path": scope["path"][len(root) :], "raw_path": scope["raw_path"][len(root) :]}
        await self._app(scope, receive, self._with_headers(send))

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if host not in self._addresses.hosts:
            return (
                f"This desk is not known as {host[:80]!r}: open it under its own address, or set"
                " STREAMGUARD_DESK_PUBLIC_URL."
            )
        origin = headers.get("origin")
        if method not in SAFE_METHODS and origin is not None and origin not in self._addresses.origins:
            return f"A page of {origin[:80]!r} may not change anything here."
        if headers.get("sec-fetch-site") == "cross-site" and method not in SAFE_METHODS:
            return "A page of another site may not change anything here."
        return None

    def _with_headers(self, send: Any) -> Any:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if self._addresses.is_secure:
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        return sent


def _sentence(path: str, sentence: str, status: int) -> Response:
    """A refusal: an object of JSON to programs, as all others."""
    if "/api/" in path:
        return JSONResponse({"error": sentence}, status_code=status)
    return PlainTextResponse(sentence + "\n", status_code=status)


_FREE_TRIES = 5
_FORGOTTEN_S = 900.0
_LONGEST_WAIT_S = 300.0


class Throttle:
    """Failed logins per user name and per address: after a few, each further one makes the wait twice as long.

    It counts in memory: a restart forgets, and argon2 still makes a guess cost milliseconds.
    """

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, *keys: str) -> float:
        """How long these have to wait before the next try, seconds; 0 for not at all."""
        now = time.monotonic()
        with self._lock:
            return max(0.0, *(self._until(key) - now for key in keys))

    def _until(self, key: str) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        return last + min(2.0 ** (count - _FREE_TRIES), _LONGEST_WAIT_S) if count >= _FREE_TRIES else 0.0

    def failed(self, *keys: str) -> None:
        """Count a failure for each."""
        now = time.monotonic()
        with self._lock:
            self._failures = {k: v for k, v in self._failures.items() if now - v[1] < _FORGOTTEN_S}
            for key in keys:
                self._failures[key] = (self._failures.get(key, (0, 0.0))[0] + 1, now)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a user."""
        with self._lock:
            self._failures.pop(key, None)
