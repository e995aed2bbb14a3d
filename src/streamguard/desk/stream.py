"""The live stream of a browser: server-sent events, resumed from the last id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from streamguard.desk.feed import Feed
from streamguard.desk.site import Desk

KEEP_ALIVE_S = 15.0
"""A comment is sent after so long without an event, so that proxies keep the connection."""
RETRY_MS = 1_000


async def events(feed: Feed, after: str) -> AsyncIterator[bytes]:
    """What was missed since the event `after`, then what happens; ends when the feed does, or for a reader that is too slow."""
    subscriber = feed.subscribe()
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        if after:
            yield await run_in_threadpool(feed.missed, after)
        while True:
            try:
                data = await asyncio.wait_for(subscriber.get(), KEEP_ALIVE_S)
            except asyncio.TimeoutError:
                yield b": still here\n\n"
                continue
            if data is None:
                return
            yield data
    finally:
        feed.unsubscribe(subscriber)


def live(desk: Desk, after: str) -> Response:
    """The answer to a browser that listens."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events(desk.feed, after), media_type="text/event-stream", headers=headers)
