"""A query's positions as the offsets of its consumer group: those of a query without state, else for Kafka's tools to see.

One commit at a time. A client that does not know its group's coordinator yet keeps what it is given and sends a later
commit first (librdkafka 2.16): the group would stay at the older offsets until the next one. A commit that fails is
repeated; only the last positions count. Not waited for, but for `finish`: what a crash finds not yet stored is read once
more, as at-least-once has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Positions, as_partitions

log = logging.getLogger(__name__)
RETRY_S = 1.0
ANSWER_S = 5.0
"""How long the end of a query waits for the answer to a commit."""


class GroupOffsets:
    """The offsets of one group. For one thread, which polls the client: the answers come by that."""

    def __init__(self, topics: KafkaTopics, group: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._topics = topics
        self._group = group
        self._clock = clock
        self._client: Consumer | None = None
        self._clients = 0
        """How many there have been: an answer to an earlier one is none to this."""
        self._wanted: Positions | None = None
        """The last positions, while they have not been sent."""
        self._sent: Positions | None = None
        """Those that Kafka has not answered yet."""
        self._not_before_s = 0.0

    def connect(self) -> Consumer:
        """A consumer of the group, in place of the one before, if there was one."""
        self._clients += 1
        self._unsend()
        answered = partial(self._answered, self._clients)
        self._client = clients.consumer(self._topics.servers, self._group, on_commit=answered)
        return self._client

    def disconnect(self) -> None:
        """Forget the consumer, which somebody else closes, and what was to be stored."""
        self._clients += 1
        self._client = self._wanted = self._sent = None

    def _unsend(self) -> None:
        """What has not been answered is to be sent again, unless there is something newer."""
        self._wanted = self._wanted or self._sent
        self._sent = None

    def _answered(self, client: int, error: KafkaError | None, _: Sequence[TopicPartition]) -> None:
        if client != self._clients or self._sent is None:
            return
        if error is None:
            self._sent = None
        else:
            self._failed(error.str())

    def _failed(self, why: str) -> None:
        log.warning("the offsets of %s were not stored, and are sent again: %s", self._group, why)
        self._unsend()
        self._not_before_s = self._clock() + RETRY_S

    def store(self, positions: Positions) -> None:
        """Have the group at these positions soon."""
        self._wanted = {topic: dict(offsets) for topic, offsets in positions.items()}
        self.go_on()

    def go_on(self) -> None:
        """Send what waits, if it may go."""
        if self._wanted is None or self._sent is not None or self._clock() < self._not_before_s:
            return
        assert self._client is not None
        self._sent, self._wanted = self._wanted, None
        try:
            self._client.commit(offsets=as_partitions(self._sent), asynchronous=True)
        except KafkaException as error:
            self._failed(str(error))

    def finish(self, positions: Positions | None = None) -> None:
        """Have the group at the last positions now, or at these. The client must be given no records meanwhile.

        Where Kafka does not answer it is logged: the offsets stay behind.
        """
        self._wanted = positions or self._wanted
        deadline = self._clock() + ANSWER_S
        while self._sent is not None and self._client is not None and self._clock() < deadline:
            self._client.poll(0.05)
        if self._sent is not None:
            log.warning("the offsets of %s may not be stored: Kafka does not answer", self._group)
            return
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            try:
                self._topics.store_group_positions(self._group, wanted)
            except (KafkaException, KafkaUnavailable) as error:
                log.warning("the offsets of %s were not stored: %s", self._group, error)
