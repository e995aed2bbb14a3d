"""Follows the command topic: what one engine of a service was told, the others carry out as well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import Message, Servers

log = logging.getLogger(__name__)
POLL_S = 0.5
RETRY_S = 1.0


class Follower:
    """A thread that gives what is new in a topic of one partition to `follow`, in order; repeated where that fails."""

    def __init__(
        self, servers: Servers, topic: str, from_offset: int, follow: Callable[[Sequence[Message]], None]
    ) -> None:
        self._client = clients.consumer(servers, f"{topic}-follower")
        self._client.assign([TopicPartition(topic, 0, from_offset)])
        self._follow = follow
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="commands", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(clients.LAST_ANSWER_S)

    def _main(self) -> None:
        new: list[Message] = []
        while not self._stop.is_set():
            try:
                new += [m for m in clients.take(self._client, clients.BATCH, POLL_S) if _is_news(m.error())]
                if new:
                    self._follow(new)
                    new = []
            except (KafkaException, KsqlError):
                log.warning("the command topic could not be followed; it is tried again", exc_info=True)
                self._stop.wait(RETRY_S)
        self._client.close()


def _is_news(error: KafkaError | None) -> bool:
    """Whether there is something to carry out; raises KafkaException for an error that does not pass by itself."""
    if error is not None and error.code() not in (KafkaError._PARTITION_EOF, *clients.PASSING):
        raise KafkaException(error)
    return error is None
