"""Webhooks as a part of the desk: a thread that reads decisions, and one that sends. Without a webhook both rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kafka.errors import KafkaError
from sqlalchemy import Engine, text

from streamguard.config import Settings
from streamguard.database import error_message, is_outage
from streamguard.webhooks.deliveries import remove_old
from streamguard.webhooks.post import TIMEOUT_S
from streamguard.webhooks.reader import Reader
from streamguard.webhooks.schedule import SCHEDULE, Schedule
from streamguard.webhooks.sender import Sender

log = logging.getLogger("streamguard.webhooks")

REST_S = 3.0
"""How often it is looked whether there is a webhook, while there is none."""
LOOK_S = 0.5
"""How often it is looked for what is due: what others ask to be sent again, and what has failed."""
RETRY_S = 5.0
_REMOVE_EVERY_S = 3_600.0
_END_WITHIN_S = 2.0

_ANY = text("SELECT EXISTS (SELECT FROM webhooks)")


class Webhooks:
    """Reads and sends between `start` and `close`. What is under way when it ends is sent again later."""

    def __init__(
        self, settings: Settings, engine: Engine, *, schedule: Schedule = SCHEDULE, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._engine = engine
        self._closing = threading.Event()
        self._stored = threading.Event()
        self._reader = Reader(settings, engine, self._closing)
        self._sender = Sender(engine, self._closing, schedule=schedule, timeout_s=timeout_s)
        self._removed_at = 0.0
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, name), name=name, daemon=True)
            for name, work in (("webhooks reader", self._read), ("webhooks sender", self._send))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End; waits a moment for what is under way."""
        self._closing.set()
        self._stored.set()
        for thread in self._threads:
            thread.join(_END_WITHIN_S)
        self._sender.wait(_END_WITHIN_S)

    def _repeat(self, work: Callable[[], None], name: str) -> None:
        while not self._closing.is_set():
            try:
                work() if self._has_any() else self._closing.wait(REST_S)
            except (KafkaError, OSError) as error:
                log.warning("%s: Kafka is unavailable (%s); retrying in %.0f s", name, type(error).__name__, RETRY_S)
                self._closing.wait(RETRY_S)
            except Exception as error:
                if not is_outage(error):
                    log.exception("%s failed; retrying in %.0f s", name, RETRY_S)
                else:
                    log.warning("%s: Postgres is unavailable (%s)", name, error_message(error))
                self._closing.wait(RETRY_S)

    def _has_any(self) -> bool:
        with self._engine.begin() as connection:
            return bool(connection.execute(_ANY).scalar())

    def _read(self) -> None:
        self._reader.read(self._stored)

    def _send(self) -> None:
        self._stored.wait(LOOK_S)
        self._stored.clear()
        self._sender.send_due()
        if time.monotonic() - self._removed_at > _REMOVE_EVERY_S:
            self._removed_at = time.monotonic()
            with self._engine.begin() as connection:
                remove_old(connection)
