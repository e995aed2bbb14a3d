"""HTTP/1.1 answers with a reason phrase ("200 OK").

The phrase may be empty, and hypercorn leaves it so; but older HTTP clients (hyper, under one of ksqlDB's Python clients)
take a status line without it for no HTTP at all. Source: RFC 9112, section 4.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import h11
from hypercorn.protocol.h11 import H11Protocol

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def with_reason(event: Any) -> Any:
    """A head of an answer with its phrase; any other event as it is."""
    if not isinstance(event, (h11.Response, h11.InformationalResponse)) or event.reason:
        return event
    phrase = _PHRASES.get(event.status_code, b"")
    return type(event)(
        status_code=event.status_code, headers=event.headers, http_version=event.http_version, reason=phrase
    )


class _Reasoned(H11Protocol):
    async def _send_h11_event(self, event: Any) -> None:
        await super()._send_h11_event(with_reason(event))


def install() -> None:
    """Let hypercorn's connections say their phrases."""
    import hypercorn.protocol

    hypercorn.protocol.H11Protocol = _Reasoned  # type: ignore[attr-defined]
