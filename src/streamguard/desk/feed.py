"""What happens, for everybody who looks: alerts that change, the pulse of the stack, who looks at what.

A thread listens to the database. Whenever a writer has committed alerts it reads what changed and hands each alert, as one
server-sent event made once, to every subscriber. Several consumers commit in another order than that of `updated_at`, so
reading goes back to the instant before which nothing can come any more. The id of an event is no later than that, and whoever
comes back with one gets what changed since, that event again among it: an event says how an alert is now, so twice does no
harm.

Source of the format: the HTML standard, section 9.2, Server-sent events.
"""

from __future__ import annotations

import asyncio
import logging
import select
import threading
from datetime import datetime, timezone
from typing import Any

import orjson
from sqlalchemy import Engine

from streamguard.alerts.queue import QueueRow, changed_since, settled_before
from streamguard.database import error_message, is_outage

log = logging.getLogger("streamguard.desk")

MOST_WAITING = 2_000
"""Events that a subscriber may be behind; one that reads more slowly is disconnected, and comes back with its last id."""
MOST_MISSED = 2_000
"""Alerts that are sent to whoever comes back; beyond, the page is asked to load again."""
_LOOK_AGAIN_S = 1.0
_RETRY_S = 1.0
_BATCH = 1_000

Subscriber = asyncio.Queue[bytes | None]


def event(name: str, value: Any, event_id: str = "") -> bytes:
    """A server-sent event with JSON as its data."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(value, default=str) + b"\n\n"


def alert_event(row: QueueRow, settled: datetime | None = None) -> bytes:
    """How an alert is now; `settled` where changes from then on may not all be there yet."""
    value = {
        "alert_id": row.alert_id,
        "rule": row.rule,
        "account_id": row.account_id,
        "amount": None if row.amount is None else f"{row.amount:f}",
        "currency": row.currency,
        "tx_count": row.tx_count,
        "detected_at": row.detected_at,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
        "outcome": row.outcome,
        "score": row.score,
        "status": row.status,
        "mode": row.mode,
        "assignee": row.assignee,
    }
    return event("alert", value, min(row.changed_at, settled or row.changed_at).isoformat())


class Feed:
    """The events, for any number of subscribers on one asyncio loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._subscribers: set[Subscriber] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._after = datetime.now(timezone.utc)
        self._sent: set[tuple[str, datetime]] = set()
        self.sent = 0
        """Events handed to streams, each as often as there were streams."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen; events are handed over on `loop`."""
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        """End every stream and the thread."""
        self._closing.set()
        for subscriber in list(self._subscribers):
            subscriber.put_nowait(None)

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return len(self._subscribers)

    def subscribe(self) -> Subscriber:
        """A new subscriber; on the loop."""
        subscriber: Subscriber = asyncio.Queue()
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The stream has ended; on the loop."""
        self._subscribers.discard(subscriber)

    def publish(self, *events: bytes) -> None:
        """Hand events to all subscribers, from any thread."""
        if events and self._loop is not None and not self._closing.is_set():
            self._loop.call_soon_threadsafe(self._deliver, b"".join(events), len(events))

    def _deliver(self, data: bytes, count: int) -> None:
        for subscriber in list(self._subscribers):
            if subscriber.qsize() >= MOST_WAITING:
                self._subscribers.discard(subscriber)
                subscriber.put_nowait(None)
            else:
                subscriber.put_nowait(data)
                self.sent += count

    def missed(self, after: str) -> bytes:
        """What changed since the event with the id `after`; a request to load the page again where that is too much."""
        try:
            since = datetime.fromisoformat(after)
        except ValueError:
            return event("reload", "the last event is not known")
        with self._engine.begin() as connection:
            rows = changed_since(connection, since, MOST_MISSED + 1)
        if len(rows) > MOST_MISSED:
            return event("reload", f"more than {MOST_MISSED:,} alerts changed meanwhile")
        return b"".join(alert_event(row, self._after) for row in rows)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except Exception as error:
                if not is_outage(error):
                    log.exception("the feed of alerts failed")
                else:
                    log.warning("Postgres is unavailable (%s); retrying in %.0f s", error_message(error), _RETRY_S)
                self._closing.wait(_RETRY_S)

    def _listen(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.cursor().execute("LISTEN fraud_alerts")
            while not self._closing.is_set():
                # Also without a notification: it may have come before this connection listened.
                while rows := self._changed(connection):
                    self.publish(*(alert_event(row, self._after) for row in rows))
                if not raw.notifies:
                    select.select([raw], [], [], _LOOK_AGAIN_S)
                raw.poll()
                raw.notifies.clear()

    def _changed(self, connection: Any) -> list[QueueRow]:
        """The alerts that changed and were not handed over yet."""
        settled = settled_before(connection)
        rows = changed_since(connection, self._after, _BATCH + len(self._sent))
        new = [row for row in rows if (row.alert_id, row.changed_at) not in self._sent]
        if rows:
            self._after = max(self._after, min(rows[-1].changed_at, settled))
            self._sent |= {(row.alert_id, row.changed_at) for row in new}
            self._sent = {sent for sent in self._sent if sent[1] >= self._after}
        return new
