"""Sending to the broker so that nothing is lost and nothing is doubled, and saying so when that takes a while.

acks=all and idempotence: the broker confirms when the record is on its disk, and knows a repeated attempt when it sees
one. Deliveries never time out: while the broker is unavailable the producer retries, says so on stderr, and continues
when it answers again. Memory is bounded by `MAX_UNACKNOWLEDGED`.

The key decides the partition (murmur2, as every Kafka client does), so one account's payments stay in order.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from streamguard.config import Settings
from streamguard.kafka import clients
from streamguard.kafka.appender import Appender, encode_headers
from streamguard.kafka.diagnosis import diagnosis
from streamguard.kafka.partitions import positive_murmur2
from streamguard.kafka.producers import close_producer
from streamguard.kafka.topics import MAX_RECORD_BYTES, Topic, ensure_topics
from streamguard.metrics.latency import Latency
from streamguard.metrics.traces import HEADER, Tracer
from streamguard.producer.errors import BrokerUnreachable, InputError, NotAcknowledged, PartlyAcknowledged, StoppedEarly
from streamguard.producer.record import Record
from streamguard.producer.signals import Stop, Stopped

COMPRESSIONS = ("none", "lz4", "gzip", "snappy", "zstd")
MAX_UNACKNOWLEDGED = 20_000
_NEVER_MS = 2**31 - 1
_PARTITION_CACHE = 100_000
_REMIND_S = 10.0
_PARTING_S = 10.0
_WATCH_S = 0.05
"""Between two looks for a silence, while records are sent one after the other."""

_REASONS = {
    "KafkaStorageError": "it cannot write to its disk, which may be full (KafkaStorageError; its log says more)",
    "NotEnoughReplicasError": "too few of its replicas are in sync (NotEnoughReplicasError)",
}
"""What answers mean that the client tries again after, by the name of its exception. A lost connection is none."""

Say = Callable[[str], None]


class KafkaSink:
    """Sends records to `settings.transactions_topic` (or to a record's own topic) and counts acknowledgements.

    Construction makes sure of the topics and waits up to `wait_s` seconds for a broker; raises BrokerUnreachable.
    A silence of `patience_s` while records are on the way is reported through `say`. `on_send(partition)` is called for
    each record of the transactions topic before it is sent, `on_stored(partition, offset)` once the broker has it, in the
    same order within a partition; the latter from the client's thread. `latency` gets the seconds from each send to its
    acknowledgement.
    """

    done = "acknowledged"

    def __init__(
        self,
        settings: Settings,
        say: Say,
        stop: Stop | None = None,
        compression: str = "none",
        wait_s: float = 30.0,
        extra_topics: tuple[str, ...] = (),
        linger_ms: int = 5,
        patience_s: float = 3.0,
        on_send: Callable[[int], None] | None = None,
        on_stored: Callable[[int, int], None] | None = None,
        latency: Latency | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        check_compression(compression)
        # The client's own log would tell each failed attempt to connect; what a person needs to know we say.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self.sent = 0
        self._address = settings.kafka_bootstrap_servers
        self._settings = settings
        self._topics = set(extra_topics)
        self._topic = settings.transactions_topic
        self._say = say
        self._stop = stop or Stop()
        self._patience_s = patience_s
        self._on_send = on_send
        self._on_stored = on_stored
        self._latency = latency
        self._moved_s = time.monotonic()
        self._silent_since_s: float | None = None
        self._said_s = 0.0
        self._watched_s = 0.0
        self._acked = 0
        self._failed = 0
        self._error: BaseException | None = None
        self._progress = threading.Event()
        self._partitions: dict[bytes, TopicPartition] = {}
        self._headers: dict[tuple[str, str, str, str], bytes] = {}
        self._retries = _Retries()
        try:
            self._producer = self._connect(settings, compression, wait_s, extra_topics, linger_ms)
        except Stopped:
            raise StoppedEarly("stopped before a broker answered: nothing was sent") from None
        partitions = sorted(self._producer.partitions_for(self._topic))
        self._places = [TopicPartition(self._topic, partition) for partition in partitions]
        self._appender = Appender(self._producer, self._on_done)

    def _connect(
        self, settings: Settings, compression: str, wait_s: float, extra_topics: tuple[str, ...], linger_ms: int
    ) -> Any:
        """Try until a broker answers or the patience ends."""
        deadline_s, said_s = time.monotonic() + wait_s, 0.0
        while True:
            try:
                producer = clients.producer(settings.kafka, **_options(compression, linger_ms))
            except (KafkaError, OSError, ValueError) as error:
                if isinstance(error, ValueError):
                    raise InputError(f"KAFKA_BOOTSTRAP_SERVERS={self._address!r} is no HOST:PORT: {error}") from None
                problem = diagnosis(settings.kafka)
                if problem is not None and problem.permanent:
                    raise BrokerUnreachable(f"the broker cannot be used: {problem}") from None
                now_s = time.monotonic()
                if now_s >= deadline_s:
                    raise BrokerUnreachable(
                        f"no broker answers at {self._address}: start the stack (./start.sh), or set "
                        "KAFKA_BOOTSTRAP_SERVERS to where it listens"
                    ) from None
                if now_s - said_s >= _REMIND_S:
                    self._say(f"waiting for the broker at {self._address}")
                    said_s = now_s
                self._nap()
                continue
            try:
                ensure_topics(settings, extra=[Topic(name, settings.topic_partitions) for name in extra_topics])
            except KafkaError as error:
                close_producer(producer)
                if error.retriable and time.monotonic() < deadline_s:
                    self._nap()
                    continue
                raise BrokerUnreachable(f"the broker at {self._address} gives no topics: {error}") from None
            return producer

    def _nap(self) -> None:
        """Between two attempts; raises Stopped if one is not to go on."""
        self._stop.sleep(0.3)
        if self._stop.requested:
            raise Stopped

    @property
    def acknowledged(self) -> int:
        """Records that the broker has confirmed to be on disk."""
        return self._acked

    @property
    def unacknowledged(self) -> int:
        """Records on the way: sent, neither confirmed nor refused."""
        return self.sent - self._acked - self._failed

    @property
    def refused(self) -> int:
        """Records that the broker has refused for good."""
        return self._failed

    @property
    def retries(self) -> int:
        """Batches that the broker could not store at an attempt."""
        return self._retries.count

    def silence(self) -> str | None:
        """What is said while the broker stores nothing; None where it does."""
        return f"the broker at {self._address} stores nothing" if self._silent_since_s is not None else None

    def send(self, record: Record) -> None:
        """Hand one record to the client; waits while too many are on the way.

        Raises NotAcknowledged where the broker refused a record, Stopped where the wait was ended by a signal.
        """
        if self.unacknowledged >= MAX_UNACKNOWLEDGED:
            self._wait_for(MAX_UNACKNOWLEDGED * 3 // 4)
            if self._stop.requested:
                raise Stopped
        if self._failed:
            raise self._refusal()
        now_s = time.monotonic()
        if now_s >= self._watched_s + _WATCH_S:
            self._watch()
        try:
            if record.topic:
                self._send_aside(record)
            else:
                self._append(record, now_s)
        except KafkaError as error:
            raise self._failure(f"a record could not be sent ({error})") from None
        self.sent += 1

    def _append(self, record: Record, now_s: float) -> None:
        """A transaction into the batch of its partition."""
        place = self._partitions.get(record.key) or self._place(record.key)
        if self._on_send is not None:
            self._on_send(place.partition)
        kinds = record[3:7]
        headers = self._headers.get(kinds)
        if headers is None:
            headers = encode_headers(record.headers())
            if not record.incident:
                self._headers[kinds] = headers
        span = None
        if self._tracer is not None:
            given = record.headers()
            span = self._begin(self._tracer, given)
            headers = encode_headers(given)
        self._appender.append(place, record.key, record.value, headers, (now_s, span))

    def _send_aside(self, record: Record) -> None:
        """A record of another topic: a few."""
        if record.topic not in self._topics:
            self._make_topic(record.topic)
        future = self._producer.send(record.topic, record.value, record.key, record.headers())
        future.add_callback(lambda _: self._count(1))
        future.add_errback(lambda error: self._on_error(1, error))

    def _begin(self, tracer: Tracer, headers: list[tuple[str, bytes]]) -> Any:
        """A trace that begins with a record, if it is sampled: its header is added to `headers`, its span returned."""
        span = tracer.begin("produce", time.time_ns())
        header = tracer.header(span)
        if header is None:
            return None
        headers.append((HEADER, header))
        return span

    def _make_topic(self, name: str) -> None:
        """Create a topic that was not announced (a replayed chargeback), as long as that takes."""
        while True:
            try:
                ensure_topics(self._settings, extra=[Topic(name, self._settings.topic_partitions)])
            except KafkaError as error:
                if not error.retriable:
                    raise self._failure(f"topic {name} cannot be made ({error})") from None
                self._nap()
                continue
            self._topics.add(name)
            return

    def finish(self) -> None:
        """Wait until all is acknowledged, as long as that takes; raises NotAcknowledged if a record was refused.

        After a signal the wait ends when the broker has been silent for 10 s, or at a second signal.
        """
        if self.unacknowledged:
            with contextlib.suppress(KafkaTimeoutError):
                self._producer.flush(timeout=0.01)
            self._wait_for(0)
        self._watch()
        if self._failed or self._acked != self.sent:
            raise self._refusal()

    def close(self) -> None:
        """Close the connection; what is not acknowledged by now is given up."""
        self._retries.close()
        close_producer(self._producer, abandon=self.unacknowledged > 0)
        if self._tracer is not None:
            self._tracer.close()

    def _place(self, key: bytes) -> TopicPartition:
        """The partition that the Java client would choose; those who pay often are hashed once."""
        if len(self._partitions) >= _PARTITION_CACHE:
            self._partitions.clear()
        place = self._places[positive_murmur2(key) % len(self._places)]
        self._partitions[key] = place
        return place

    def _on_done(
        self, place: TopicPartition, first: int, count: int, notes: list[Any], error: BaseException | None
    ) -> None:
        """A batch of transactions is stored, or refused."""
        if error is not None:
            self._on_error(count, error)
            return
        if self._on_stored is not None:
            for offset in range(first, first + count):
                self._on_stored(place.partition, offset)
        if self._tracer is not None:
            for _, span in notes:
                if span is not None:
                    span.end()
        self._count(count)
        if self._latency is not None:
            self._latency.add([self._moved_s - sent_s for sent_s, _ in notes])

    def _count(self, stored: int) -> None:
        # Only the client's sender thread comes here, so the count needs no lock.
        self._acked += stored
        self._retries.reason = ""
        self._moved_s = time.monotonic()
        if not self._progress.is_set():
            self._progress.set()

    def _on_error(self, records: int, error: BaseException) -> None:
        self._failed += records
        self._error = self._error or error
        self._progress.set()

    def _wait_for(self, limit: int) -> None:
        """Wait until at most `limit` records are on the way."""
        while self.unacknowledged > limit and not (limit and (self._failed or self._stop.requested)):
            silent_s = time.monotonic() - self._moved_s
            if self._stop.forced or (self._stop.requested and silent_s > _PARTING_S):
                return
            self._progress.clear()
            self._progress.wait(0.2)
            self._watch()

    def _watch(self) -> None:
        """Say so when the broker has been silent for a while with records on the way, and when it is back."""
        now_s = self._watched_s = time.monotonic()
        if not self.unacknowledged:
            self._moved_s = now_s
        if now_s - self._moved_s < self._patience_s:
            if self._silent_since_s is not None:
                self._say(f"the broker is back after {now_s - self._silent_since_s:.0f} s")
                self._silent_since_s = None
        elif self._silent_since_s is None or now_s - self._said_s >= _REMIND_S:
            self._silent_since_s, self._said_s = self._moved_s, now_s
            does_what = f"stores nothing: {self._retries.reason}" if self._retries.reason else "does not answer"
            self._say(f"the broker at {self._address} {does_what}; {self.unacknowledged:,} records wait for it")

    def _refusal(self) -> NotAcknowledged:
        if self._error is None:
            reason = f" ({self._retries.reason})" if self._retries.reason else ""
            return self._failure(f"left before the broker at {self._address} confirmed everything{reason}")
        return self._failure(f"the broker refused {self._failed:,} records ({self._error})")

    def _failure(self, sentence: str) -> NotAcknowledged:
        """With what is stored for all that."""
        kind = PartlyAcknowledged if self._acked else NotAcknowledged
        return kind(f"{sentence}: {self._tally()}")

    def _tally(self) -> str:
        return f"{self._acked:,} of {self.sent:,} sent are acknowledged"


class _Retries(logging.Handler):
    """Why the broker cannot store a batch now: the client sends it again, as often as that takes, and tells its log alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""
        self.count = 0
        self._client_log = logging.getLogger("kafka.producer.sender")
        self._client_log.setLevel(logging.WARNING)
        self._client_log.propagate = False
        self._client_log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.search(r"retrying \(.*? attempts left\): (\w+)", record.getMessage()):
            self.reason = _REASONS.get(found[1], "")
            self.count += 1

    def close(self) -> None:
        self._client_log.removeHandler(self)
        super().close()


def check_compression(name: str) -> None:
    """Raises InputError, with the choices, for one that Kafka does not have."""
    if name not in COMPRESSIONS:
        raise InputError(f"unknown compression {name!r}: choose {', '.join(COMPRESSIONS)}")


def _options(compression: str, linger_ms: int) -> dict[str, Any]:
    """The client's settings; the numbers are those that reach 15,000 records a second on one core."""
    return {
        "client_id": "streamguard-producer",
        "acks": "all",
        "enable_idempotence": True,
        "delivery_timeout_ms": _NEVER_MS,
        "request_timeout_ms": 30_000,
        "bootstrap_timeout_ms": 1_000,
        "reconnect_backoff_max_ms": 1_000,
        "linger_ms": linger_ms,
        "batch_size": 128 * 1024,
        "max_request_size": MAX_RECORD_BYTES,
        "compression_type": None if compression == "none" else compression,
        "metrics_enabled": False,
    }
