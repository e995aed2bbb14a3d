"""Reading partitions of topics from one offset to another, outside of any consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard.backtest.errors import BacktestError
from streamguard.kafka.clients import KafkaUnavailable, Servers, as_cluster, librdkafka_options
from streamguard.kafka.diagnosis import diagnosis
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.runtime import clients, corrupt

Spans = Mapping[int, tuple[int, int]]
"""By partition the first offset to read and the one behind the last."""

NO_PROGRESS_S = 30.0
_TAKE = 5_000
_QUEUE_KB = 64 * 1024
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_GROUP = "streamguard-backtest"
"""librdkafka wants a name; nothing is ever committed under it."""


class Topics:
    """The topics of a Kafka as they are now. Raises KafkaUnavailable where it does not answer."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._client = clients.consumer(_engine(servers), _GROUP)
        self._counts: dict[str, int] = {}
        try:
            found = self._client.list_topics(timeout=clients.TIMEOUT_S)
        except KafkaException as error:
            self._client.close()
            raise _unavailable(servers, error) from None
        self._counts = {name: len(topic.partitions) for name, topic in found.topics.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    @property
    def partitions(self) -> Mapping[str, int]:
        """The number of partitions of each topic."""
        return self._counts

    def spans(self, name: str, since_ms: int | None = None) -> dict[int, tuple[int, int]]:
        """What is in a topic; with `since_ms` from the first record that was written at this time or later."""
        try:
            return {number: self._span(name, number, since_ms) for number in range(self._counts.get(name, 0))}
        except KafkaException as error:
            raise _unavailable(self._servers, error) from None

    def _span(self, name: str, number: int, since_ms: int | None) -> tuple[int, int]:
        place = TopicPartition(name, number)
        first, end = self._client.get_watermark_offsets(place, clients.TIMEOUT_S)
        if since_ms is not None and first < end:
            [found] = self._client.offsets_for_times(
                [TopicPartition(name, number, max(0, since_ms))], clients.TIMEOUT_S
            )
            first = end if found.offset < 0 else max(first, found.offset)
        return first, end

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _engine(servers: Servers) -> clients.Cluster:
    """A Kafka for the clients of the SQL engine."""
    return clients.Cluster(str(servers), tuple(librdkafka_options(servers).items()))


def _unavailable(servers: Servers, error: KafkaException) -> KafkaUnavailable:
    reason = diagnosis(as_cluster(servers)) or error.args[0].str()
    return KafkaUnavailable(f"Kafka at {servers} (KAFKA_BOOTSTRAP_SERVERS): {reason}")


def read_all(servers: Servers, topic: str, spans: Spans) -> Iterator[InputRecord]:
    """The records of several partitions, each in its order, merged by the time at which they were written."""
    found = [chain.from_iterable(read(servers, topic, number, *span)) for number, span in sorted(spans.items())]
    return found[0] if len(found) == 1 else merge(*found, key=lambda record: record.time)


def read(servers: Servers, topic: str, partition: int, start: int, end: int) -> Iterator[list[InputRecord]]:
    """The committed records of one partition from offset `start` to before `end`; corrupt batches are left out.

    Raises KafkaUnavailable, BacktestError where nothing comes.
    """
    reader = _Reader(servers, topic, partition, start, end)
    try:
        yield from reader.batches()
    finally:
        reader.close()


class _Reader:
    """One partition. `position` is the next offset; behind the last record there may be markers of transactions."""

    def __init__(self, servers: Servers, topic: str, partition: int, start: int, end: int) -> None:
        self._servers = servers
        self._topic = topic
        self._partition = partition
        self._end = end
        self._position = start
        self._client = self._connected()

    def _connected(self) -> Consumer:
        client = clients.consumer(_engine(self._servers), _GROUP, queued_max_messages_kbytes=_QUEUE_KB)
        client.assign([TopicPartition(self._topic, self._partition, self._position)])
        return client

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def batches(self) -> Iterator[list[InputRecord]]:
        """The records, as they come."""
        progressed_s = time.monotonic()
        while self._position < self._end:
            before = self._position
            messages = clients.take(self._client, _TAKE, 0.2)
            wanted = [message for message in messages if self._is_wanted(message)]
            if wanted:
                yield clients.input_records(wanted)
            if self._position != before:
                progressed_s = time.monotonic()
            elif time.monotonic() - progressed_s > NO_PROGRESS_S:
                raise BacktestError(
                    f"topic {self._topic}, partition {self._partition} could not be read to offset {self._end}: no record in"
                    f" {NO_PROGRESS_S:.0f} s; see `streamguard status`, then try again"
                )

    def _is_wanted(self, message: clients.Message) -> bool:
        """Whether a message is a record of the range; the position is behind it then."""
        error = message.error()
        if error is not None:
            self._take_error(message, error)
            return False
        offset: int = message.offset()
        if offset < self._position:
            return False
        self._position = offset + 1
        return offset < self._end

    def _take_error(self, message: clients.Message, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._position = max(self._position, message.offset())
        elif corrupt.is_corrupt(message):
            if message.offset() >= self._position:
                self._position = corrupt.find(_engine(self._servers), message).end
                corrupt.abandon(self._client)
                self._client = self._connected()
        elif code in _GONE:
            raise BacktestError(
                f"the records of topic {self._topic}, partition {self._partition}, from offset {self._position} on are gone:"
                " the topic keeps records for a limited time, or was made anew; a new back-test reads what there is"
            )
        elif code not in clients.PASSING:
            raise _unavailable(self._servers, KafkaException(error))


def merged(found: Iterable[Iterable[InputRecord]]) -> list[InputRecord]:
    """Records of several topics, in order of the time at which they were written."""
    return sorted(chain.from_iterable(found), key=lambda record: (record.time, *record[:3]))
