"""The engine's Kafka clients (librdkafka), configured in one place.

librdkafka because the engine's results and changelogs are many small records: it writes them several times faster than
a client in Python can.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from streamguard_ksql.engine import TopicShape
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.runtime.shared_request import SharedRequest

log = logging.getLogger(__name__)
Message = Any
"""A message of librdkafka's client. Its stubs call every part optional, since a message may also be an error; those are
distinguished before any other request."""
MESSAGE: Any = confluent_kafka.Message
"""Its class, of which a method is a function over many."""
TIMEOUT_S = 10.0
TRANSACTION_TIMEOUT_S = 30.0
QUIET: dict[str, Any] = {
    "log.connection.close": False,
    "socket.nagle.disable": True,
    # The first connection waits for it, too: 40 ms, 80 with a coordinator, of each start of a query with librdkafka's 100.
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 1000,
    # Without it a librdkafka (2.16) that has lost all brokers forgets them and starts again with the bootstrap servers; a
    # transactional producer then waits without end for the coordinator that it has forgotten.
    "metadata.recovery.strategy": "none",
}
Found = TypeVar("Found")
Offsets = dict[tuple[str, int], int]
"""Offsets by topic and partition."""
Positions = dict[str, dict[int, int]]
"""The next offset to read, by topic and partition."""
BATCH = 500
"""The most records that are taken from a consumer at once."""
SETTLE_S = 5.0
"""How long a topic may take to show, or to be gone, once Kafka has created or deleted it."""
LAST_ANSWER_S = 10.0
"""How long a query that has to stop still waits for Kafka."""
PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE)
"""Errors of a consumer that say only that it is connecting again: it goes on by itself."""
REFUSED = (KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED)
LEADERLESS = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._NOENT,  # "No leaders found"
)
UNCOORDINATED = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)

LARGEST_RECORD_BYTES = 64 * 1024 * 1024


class _OncePerOutage(logging.Filter):
    """Of the many clients that all report Kafka unavailable, only one is logged, and only every REPEAT_S."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "Connect to" not in text and "Disconnected" not in text:
            return True
        due = record.created - self._last_s > REPEAT_S
        if due:
            self._last_s = record.created
        return due


REPEAT_S = 30.0
client_log = logging.getLogger(f"{__name__}.librdkafka")
client_log.addFilter(_OncePerOutage())


class KafkaUnavailable(KsqlError):
    """The log does not answer."""

    code = 50000


@dataclass(frozen=True)
class Cluster:
    """The addresses of a Kafka, and librdkafka's settings of how to reach it: `security.protocol`, `sasl.*`, `ssl.*`."""

    servers: str
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.servers


Servers = Cluster | str
"""Plain addresses are spoken to without TLS and login."""


def _connection(servers: Servers) -> dict[str, str]:
    options = dict(servers.options) if isinstance(servers, Cluster) else {}
    return {**options, "bootstrap.servers": str(servers)}


def admin_client(servers: Servers, on_error: Callable[[KafkaError], None] | None = None) -> AdminClient:
    config: dict[str, Any] = {**_connection(servers), **QUIET}
    if on_error is not None:
        config["error_cb"] = on_error
    return AdminClient(config, logger=client_log)


Committed = Callable[[KafkaError | None, Sequence[TopicPartition]], None]
"""Called by the poll that finds the answer to a commit that was not waited for."""


def consumer(
    servers: Servers,
    group: str,
    *,
    read_committed: bool = True,
    on_commit: Committed | None = None,
    **settings: Any,
) -> Consumer:
    """A consumer whose positions are its owner's: auto-commit is disabled.

    It reports the end of a partition: the only way to know that what is left there are control
    records and aborted ones. A batch whose CRC does not match is an error (see `corrupt`), and so is a position that does
    not exist: it is never another one in silence.
    `settings`: librdkafka's, with underscores for dots.
    """
    return Consumer(
        {
            **_connection(servers),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            "allow.auto.create.topics": False,
            "check.crcs": True,
            "fetch.message.max.bytes": 4 * 1024 * 1024,
            "receive.message.max.bytes": 2 * LARGEST_RECORD_BYTES,
            "queued.max.messages.kbytes": 8 * 1024,
            "fetch.queue.backoff.ms": 10,
            "topic.metadata.refresh.interval.ms": 60_000,
            **({"on_commit": on_commit} if on_commit is not None else {}),
            **QUIET,
            **_dotted(settings),
        },
        logger=client_log,
    )


def _dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in settings.items()}


def producer(
    servers: Servers,
    *,
    transactional_id: str | None = None,
    reports: bool = False,
    log_to: logging.Logger = client_log,
    **settings: Any,
) -> Producer:
    """A producer that keeps order and acknowledges only what is on disk; the partition is Java's choice for the key.

    Without `reports` only failures are called back: a call per record would cost as much as the record.
    `settings`: librdkafka's, with underscores for dots.
    """
    config: dict[str, Any] = {
        **_connection(servers),
        "acks": "all",
        # A producer asks for each topic it ever wrote to, every five minutes: a deleted one must not come back by that.
        "allow.auto.create.topics": False,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        # Results are JSON with the names of fields again and again: a third remains of them.
        "compression.type": "lz4",
        "delivery.report.only.error": not reports,
        "batch.num.messages": 100_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": LARGEST_RECORD_BYTES // 1024,
        "message.max.bytes": LARGEST_RECORD_BYTES,
        **QUIET,
        **_dotted(settings),
    }
    if transactional_id is not None:
        config = {"transaction.timeout.ms": int(2 * TRANSACTION_TIMEOUT_S * 1000), **config}
        config["transactional.id"] = transactional_id

    return Producer(config, logger=log_to)


def close_producer(client: Producer, *, transactional: bool = False) -> None:
    """Close a producer at once, without what it has not sent.

    A transactional one is left to the collector: its `close` first aborts, which waits for a broker that may be gone.
    """
    client.purge()
    client.flush(0)
    close = getattr(client, "close", None)  # since confluent-kafka 2.12
    if close is not None and not transactional:
        close()


def client_time(time_ms: int) -> int:
    """A record's time as librdkafka takes it: 0 means now to it, so the first millisecond of 1970 becomes the second.
    A negative time means now to us: stored as it is, it would leave the record without a time, and compaction without
    a lag."""
    return 0 if time_ms < 0 else time_ms or 1


class Sender:
    """A producer that counts: `flush` returns when all is acknowledged, and raises if anything was not.

    Once `stopping` is set it waits no longer than LAST_ANSWER_S for a Kafka that does not answer.
    """

    def __init__(self, client: Producer, stopping: threading.Event | None = None) -> None:
        self.client = client
        self._failed: KafkaError | None = None
        self._stopping = stopping or threading.Event()

    def send(self, record: OutputRecord) -> None:
        """Hand a record over; waits while the buffer is full."""
        topic, key, value, time_ms, headers = record
        time_ms = client_time(time_ms)
        deadline: float | None = None
        while True:
            try:
                self.client.produce(
                    topic,
                    value=value,
                    key=key,
                    timestamp=time_ms,
                    headers=list(headers) or None,
                    on_delivery=self._delivered,
                )
                return
            except BufferError:
                self.client.poll(0.05)
                deadline = self._deadline(deadline)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = error

    def flush(self) -> None:
        """Wait until Kafka has everything; KafkaUnavailable if it refused something."""
        deadline: float | None = None
        while self._failed is None and self.client.flush(0.5):
            deadline = self._deadline(deadline)
        self.check()

    def check(self) -> None:
        """KafkaUnavailable if Kafka refused something since the last call."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise KafkaUnavailable(f"Kafka did not store a record: {failed.str()}")

    def _deadline(self, given: float | None) -> float | None:
        """When to stop waiting: None while the query runs on; KafkaUnavailable once it has passed."""
        if not self._stopping.is_set():
            return None
        if given is not None and time.monotonic() > given:
            raise KafkaUnavailable(f"Kafka has not answered for {LAST_ANSWER_S:.0f} s, and the query has to stop.")
        return given or time.monotonic() + LAST_ANSWER_S


def input_records(messages: Sequence[Message]) -> list[InputRecord]:
    """A client's messages, errors not among them, as the engine's records."""
    # Column by column, without a line of Python for each record: this runs for every one.
    return list(
        map(
            _new_input_record,
            zip(
                map(MESSAGE.topic, messages),
                map(MESSAGE.partition, messages),
                map(MESSAGE.offset, messages),
                map(MESSAGE.key, messages),
                map(MESSAGE.value, messages),
                map(_SECOND, map(MESSAGE.timestamp, messages)),
                [headers or () for headers in map(MESSAGE.headers, messages)],
                strict=True,
            ),
        )
    )


_new_input_record = partial(tuple.__new__, InputRecord)
"""The constructor of a named tuple takes twice as long."""
_SECOND = itemgetter(1)


def take(client: Consumer, most: int, timeout_s: float) -> list[Message]:
    """What a consumer has, errors and ends of partitions too, waiting at most so long for the first."""
    first = client.poll(timeout_s)
    return [] if first is None else [first, *client.consume(most, 0)]


class KafkaTopics:
    """The topics of a Kafka, for the engine's statements."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self._refused = ""
        self.admin = admin_client(servers, self._note)
        self._stable_ends = SharedRequest(self._ask_stable_ends)

    def _note(self, error: KafkaError) -> None:
        if error.code() in REFUSED:
            self._refused = error.str()

    @property
    def refused(self) -> str:
        """Why Kafka does not let us in, where it said so: wrong password, untrusted certificate. Empty where it did not."""
        self.admin.poll(0)
        return self._refused

    def all(self) -> dict[str, Any]:
        """Topic metadata by name."""
        try:
            found: dict[str, Any] = self.admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error
        return found

    def partitions(self, name: str) -> int | None:
        topic = self.all().get(name)
        return None if topic is None or topic.error is not None else len(topic.partitions)

    def shape(self, name: str) -> TopicShape | None:
        """What a topic was created with; None if there is none."""
        topic = self.all().get(name)
        if topic is None or topic.error is not None:
            return None
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        try:
            config = self.admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource].result()
        except KafkaException as error:
            raise KafkaUnavailable(
                f"Kafka does not give the settings of topic {name}: {error.args[0].str()}"
            ) from error
        replicas = min(len(partition.replicas) for partition in topic.partitions.values())
        return TopicShape(len(topic.partitions), replicas, int(config["retention.ms"].value))

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that is there already is left as it is."""
        future = self.admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name]
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KsqlError(f"Topic '{name}' could not be created: {error.args[0].str()}") from error
        self._wait_for(name, there=True)

    def delete(self, name: str) -> None:
        """Delete a topic; one that is not there is no error."""
        future = self.admin.delete_topics([name])[name]
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KsqlError(f"Topic '{name}' could not be deleted: {error.args[0].str()}") from error
        self._wait_for(name, there=False)

    def _wait_for(self, name: str, *, there: bool) -> None:
        """Wait until the broker says what its controller has already decided: the next statement asks the broker."""
        deadline = time.monotonic() + SETTLE_S
        while (self.partitions(name) is not None) != there and time.monotonic() < deadline:
            time.sleep(0.01)

    def offsets(self, wanted: Sequence[TopicPartition]) -> tuple[Offsets, Offsets]:
        """The first and the next offset of partitions: asked of the admin client, since a consumer's requests queue up
        behind its long polls."""
        return self._offsets(wanted, OffsetSpec.earliest()), self._offsets(wanted, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def stable_ends(self, wanted: Collection[tuple[str, int]], since_s: float) -> Mapping[tuple[str, int], int]:
        """The next offset of at least these partitions, in front of transactions that are still open.

        As of some time after `since_s`, on the clock of time.monotonic: queries that join the same stream are answered
        together.
        """
        return self._stable_ends.ask(wanted, since_s)

    def _ask_stable_ends(self, wanted: Sequence[tuple[str, int]]) -> Offsets:
        partitions = [TopicPartition(topic, p) for topic, p in wanted]
        return self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]

    def _offsets(
        self,
        wanted: Sequence[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> Offsets:
        deadline = time.monotonic() + TIMEOUT_S
        asked = dict.fromkeys(wanted, spec)
        while True:
            futures = self.admin.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT_S)
            try:
                return {(tp.topic, tp.partition): int(f.result().offset) for tp, f in futures.items()}
            except KafkaException as error:
                # A topic that was created a moment ago has no leaders yet.
                if error.args[0].code() not in LEADERLESS or time.monotonic() > deadline:
                    raise KafkaUnavailable(f"Kafka does not give its offsets: {error.args[0].str()}") from error
                time.sleep(0.02)

    def ends(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """The first and the next offset of one partition."""
        starts, ends = self.offsets([TopicPartition(topic, partition)])
        return starts[(topic, partition)], ends[(topic, partition)]

    def wait_for_transactions(self, topic: str, stopping: threading.Event) -> None:
        """Wait until no transaction is open any more in a topic of one partition: the commit of another engine, or one that
        it had begun when it was killed. KafkaUnavailable where that takes too long."""
        deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
        while self.ends(topic)[1] > self._ask_stable_ends([(topic, 0)])[(topic, 0)]:
            if stopping.is_set() or time.monotonic() > deadline:
                raise KafkaUnavailable(f"Another engine has not ended its transaction in {topic}.")
            stopping.wait(0.1)

    def store_group_positions(self, group: str, positions: Positions) -> None:
        """Set the offsets of a consumer group; KafkaUnavailable if Kafka does not store them."""
        wanted = ConsumerGroupTopicPartitions(group, as_partitions(positions))

        def store() -> None:
            future = self.admin.alter_consumer_group_offsets([wanted], request_timeout=TIMEOUT_S)[group]
            for tp in future.result().topic_partitions or ():
                if tp.error is not None:
                    raise KafkaException(tp.error)

        _once_coordinated(store, f"Kafka does not store the offsets of {group}")

    def delete_group(self, group: str) -> None:
        """Delete a consumer group; one that is not there is no error."""
        try:
            self.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
        except KafkaException as error:
            log.info("group %s: %s", group, error.args[0].str())


def begin_transactions(client: Producer) -> None:
    """Claim the client's transactional id: what another producer with it has left open is ended. Raises KafkaException.

    Once a broker answers: librdkafka looks for the coordinator at once and, without a connection, not again for 500 ms.
    """
    client.list_topics(timeout=TIMEOUT_S)
    client.init_transactions(TRANSACTION_TIMEOUT_S)


def committed(client: Consumer, partitions: Mapping[str, Iterable[int]]) -> Positions:
    """The offsets of a consumer's group in partitions, by topic; KafkaUnavailable if Kafka does not give them.

    By the consumer: the admin client of librdkafka 2.16 crashes on the first answer of a coordinator that is still loading.
    """
    wanted = [TopicPartition(topic, p) for topic, numbers in partitions.items() for p in numbers]
    found = _once_coordinated(lambda: client.committed(wanted, TIMEOUT_S), "Kafka does not give a query's offsets")
    positions: Positions = {}
    for tp in found:
        if tp.offset >= 0:
            positions.setdefault(tp.topic, {})[tp.partition] = tp.offset
    return positions


def _once_coordinated(request: Callable[[], Found], failed: str) -> Found:
    """What a request to a group's coordinator gives, repeated while there is none yet, as on a Kafka that is new."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return request()
        except KafkaException as error:
            if error.args[0].code() not in UNCOORDINATED or time.monotonic() > deadline:
                raise KafkaUnavailable(f"{failed}: {error.args[0].str()}") from error
            time.sleep(0.05)


def as_partitions(positions: Positions) -> list[TopicPartition]:
    return [TopicPartition(t, p, o) for t, offsets in positions.items() for p, o in offsets.items()]
