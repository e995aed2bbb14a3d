"""Single records, each acknowledged: INSERT VALUES, rows of /inserts-stream, statements for the command topic."""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaUnavailable, Message, Servers

ANSWER_S = 30.0
"""How long Kafka may take to acknowledge a record."""
ROOM_POLL_S = 0.05


class Inserter:
    """Produces a record and waits until it is on disk. Any number of threads may do so at the same time."""

    def __init__(self, servers: Servers) -> None:
        limit_ms = int(ANSWER_S * 1000)
        self._producer = clients.producer(servers, reports=True, linger_ms=0, message_timeout_ms=limit_ms)

    def insert(self, record: OutputRecord) -> int:
        """The offset that the record got; KafkaUnavailable if Kafka did not acknowledge it within ANSWER_S."""
        done = threading.Event()
        result: list[Any] = [None, -1]

        def delivered(error: KafkaError | None, message: Message) -> None:
            result[:] = [error, -1 if error else message.offset()]
            done.set()

        topic, key, value, time_ms, headers = record
        time_ms = clients.client_time(time_ms)
        deadline = time.monotonic() + ANSWER_S + 1.0
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, timestamp=time_ms, headers=list(headers) or None, on_delivery=delivered
                )
                break
            except BufferError:
                self._producer.poll(ROOM_POLL_S)
                if time.monotonic() > deadline:
                    raise KafkaUnavailable("The log takes no records at the moment.") from None
            except KafkaException as error:
                raise KafkaUnavailable(f"The log did not take the record: {error.args[0].str()}") from error
        while not done.is_set() and time.monotonic() < deadline:
            self._producer.poll(0.01)
        if not done.is_set() or result[0] is not None:
            why = result[0].str() if result[0] else f"no acknowledgement within {ANSWER_S:.0f} s"
            raise KafkaUnavailable(f"Could not write the record into topic {topic}: {why}")
        offset: int = result[1]
        return offset

    def close(self) -> None:
        clients.close_producer(self._producer)
