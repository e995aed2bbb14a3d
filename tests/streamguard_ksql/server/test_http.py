"""Heads of HTTP/1.1 answers say their reason."""

import asyncio
import socket
from collections.abc import MutableMapping
from typing import Any

import h11
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from streamguard_ksql.server.absolute import AbsoluteForm
from streamguard_ksql.server.http import with_reason
from streamguard_ksql.server.run import bind


def test_a_head_gets_the_phrase_of_its_status() -> None:
    assert with_reason(h11.Response(status_code=200, headers=[])).reason == b"OK"
    assert with_reason(h11.Response(status_code=404, headers=[])).reason == b"Not Found"
    assert with_reason(h11.InformationalResponse(status_code=101, headers=[])).reason == b"Switching Protocols"


def test_other_events_and_given_phrases_stay() -> None:
    end = h11.EndOfMessage()
    assert with_reason(end) is end
    given = h11.Response(status_code=200, headers=[], reason=b"Fine")
    assert with_reason(given) is given


def test_a_target_in_absolute_form_is_taken() -> None:
    async def seen(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url.path)

    app = Starlette(routes=[Route("/info", seen)], middleware=[Middleware(AbsoluteForm)])

    async def answer(path: str) -> list[MutableMapping[str, Any]]:
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
        await app(scope, receive, send)
        return sent

    assert asyncio.run(answer("http://127.0.0.1:8088/info"))[0]["status"] == 200
    assert asyncio.run(answer("/info"))[0]["status"] == 200
    assert asyncio.run(answer("http://127.0.0.1:8088/other"))[0]["status"] == 404


def test_connections_do_not_wait_for_delayed_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY where the listener names its protocol: a statement would take 40 ms longer without."""
    listener = bind("127.0.0.1", 0)
    assert listener.proto == socket.IPPROTO_TCP
    listener.close()
