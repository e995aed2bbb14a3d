"""The live stream of a browser or a program: server-sent events, resumed from the last id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from streamguard.desk.feed import Feed
from streamguard.desk.site import Desk

KEEP_ALIVE_S = 15.0
"""A comment is sent after so long without an event, so that proxies keep the connection."""
RETRY_MS = 1_000
CHECK_EVERY_S = 60.0


async def events(
    feed: Feed, after: str, is_valid: Callable[[], bool] | None = None, check_every_s: float = CHECK_EVERY_S
) -> AsyncIterator[bytes]:
    """What was missed since the event `after`, then what happens; ends when the feed does, or for a reader that is too slow.

    It also ends where `is_valid`, asked now and then, says no: a token that was revoked reads nothing more.
    """
    subscriber = feed.subscribe()
    checked_at = time.monotonic()
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        if after:
            yield await run_in_threadpool(feed.missed, after)
        while True:
            if is_valid is not None and time.monotonic() - checked_at >= check_every_s:
                if not await run_in_threadpool(is_valid):
                    return
                checked_at = time.monotonic()
            try:
                data = await asyncio.wait_for(subscriber.get(), min(KEEP_ALIVE_S, check_every_s))
            except asyncio.TimeoutError:
                yield b": still here\n\n"
                continue
            if data is None:
                return
            yield data
    finally:
        feed.unsubscribe(subscriber)


def live(desk: Desk, after: str, is_valid: Callable[[], bool] | None = None) -> Response:
    """The answer to a browser or a program that listens."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events(desk.feed, after, is_valid), media_type="text/event-stream", headers=headers)
