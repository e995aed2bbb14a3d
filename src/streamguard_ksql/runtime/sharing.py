"""How the engines of one service id divide the work: by Kafka's own consumer group protocol.

Each engine is a static member (KIP-345) of one group over a topic without records that has a partition for each slot (see
`shares`); the slots it is assigned are its share. The group knows who lives, and hands on the slots of who does not; a
restarted engine gets its slots back without anybody else noticing. In a member's client id are its address and version.

1. A rebalance begins: `slots` is None, and all queries commit and stand still (`on_release` waits for them).
2. The new slots are known: queries whose share is as before go on, the others restore their state and begin.
3. Every commit of a query's state names the member and its generation (KIP-447): one that the group has given up, because
   it stood still for too long, cannot commit any more.

An engine alone (`Alone`) has all slots for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streamguard_ksql.runtime import clients, names
from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Servers
from streamguard_ksql.runtime.shares import ALL_SLOTS, SLOTS

log = logging.getLogger(__name__)
SESSION_MS = 10_000
"""After so long without a sign of life an engine's slots go to the others."""
TRANSACTION_MS = 10_000
"""After so long Kafka gives up a commit that a killed engine has begun, and whoever has its slots can read on."""
JOIN_S = 60.0


class Sharing(Protocol):
    """An engine's place among those of its service."""

    name: str

    @property
    def slots(self) -> frozenset[int] | None:
        """Its slots; None while they are being divided anew. The same object for as long as they stay as they are."""

    @property
    def losses(self) -> int:
        """How often the group gave this engine up: what its queries had not committed by then others have read again."""

    def fence(self, producer: Producer) -> None:
        """Make the open transaction fail where the group has given this engine up."""

    def wait(self, timeout_s: float) -> None:
        """Wait until the slots may have changed, at most so long."""


class Alone:
    """The only engine of its service."""

    name = ""
    slots: frozenset[int] | None = ALL_SLOTS
    losses = 0

    def fence(self, producer: Producer) -> None:
        """Nobody else has a share."""

    def wait(self, timeout_s: float) -> None:
        """Nothing changes."""
        time.sleep(timeout_s)


@dataclass(frozen=True)
class Member:
    """An engine that shares the service id: its name, where its REST API is, its version and its slots."""

    name: str
    address: str
    version: str
    slots: frozenset[int]

    @property
    def client_id(self) -> str:
        return "|".join((self.name, self.version, self.address))


class TakenOver(KafkaUnavailable):
    """Another engine of the same name has joined."""


class Membership:
    """The engine's membership in its group, in a thread of its own.

    `on_release` is called before slots are handed back and returns when all queries stand still; `on_taken` once, where
    another engine has joined under the same name.
    """

    def __init__(
        self,
        servers: Servers,
        topics: KafkaTopics,
        service_id: str,
        me: Member,
        *,
        on_release: Callable[[], None],
        on_taken: Callable[[], None],
    ) -> None:
        self.me = me
        self.name = me.name
        self.group = self.topic = names.sharing_topic(service_id)
        self.slots: frozenset[int] | None = None
        self.losses = 0
        self._metadata: Any = None
        """The membership as of the last rebalance, for `fence`."""
        self._topics = topics
        self._on_release, self._on_taken = on_release, on_taken
        self._changed = threading.Condition()
        self._stop = threading.Event()
        topics.create(self.topic, SLOTS, {"cleanup.policy": "delete"})
        self._consumer = self._connect(servers)
        self._thread = threading.Thread(target=self._main, name="sharing", daemon=True)

    def _connect(self, servers: Servers) -> Consumer:
        return clients.consumer(
            servers,
            self.group,
            client_id=self.me.client_id,
            group_instance_id=self.name,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 10,
            partition_assignment_strategy="range",
            auto_offset_reset="latest",
        )

    def start(self) -> None:
        """Join; returns without waiting for slots."""
        self._consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        self._thread.start()

    def close(self) -> None:
        """Leave the group, so that the others need not wait until the slots are given up. Queries have to stand still."""
        self._stop.set()
        self._thread.join(clients.LAST_ANSWER_S)

    def _main(self) -> None:
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(0.1)
                error = None if message is None else message.error()
                if error is not None and error.code() == KafkaError._FATAL:
                    self._end(error)
                    return
        finally:
            self._consumer.close()

    def _end(self, error: KafkaError) -> None:
        log.error("another engine has joined as %s: this one has to end (%s)", self.name, error.str())
        self._lost(self._consumer, [])
        self._on_taken()

    # --- the group's side ---------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.pause(partitions)
        # Asked for here, in the thread that polls: in another one the client's answer never comes.
        self._metadata = consumer.consumer_group_metadata()
        self._set(frozenset(tp.partition for tp in partitions))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._set(None)
        if not self._stop.is_set():
            self._on_release()

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.losses += 1
        self._set(None)
        if not self._stop.is_set():
            self._on_release()

    def _set(self, slots: frozenset[int] | None) -> None:
        log.info("%s has %s", self.name, "no slots for now" if slots is None else f"{len(slots)} slots of {SLOTS}")
        with self._changed:
            self.slots = slots
            self._changed.notify_all()

    # --- the queries' side --------------------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> None:
        """Wait until the slots may have changed, at most so long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def fence(self, producer: Producer) -> None:
        """Add to the open transaction an offset of this group, which only a living member may commit (KIP-447)."""
        offsets = [TopicPartition(self.topic, 0, 0)]
        producer.send_offsets_to_transaction(offsets, self._metadata, clients.TRANSACTION_TIMEOUT_S)

    def members(self) -> list[Member]:
        """All engines of the service, with their slots; KafkaUnavailable where the group cannot be asked."""
        future: Any = self._topics.admin.describe_consumer_groups([self.group], request_timeout=clients.TIMEOUT_S)
        try:
            found = future[self.group].result()
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka does not say which engines there are: {error.args[0].str()}") from error
        members = [member for one in found.members if (member := _member(one)) is not None]
        return sorted(members, key=lambda member: member.name)


def _member(found: Any) -> Member | None:
    """A member of the group as an engine; None for something else that has joined it."""
    name, _, rest = found.client_id.partition("|")
    version, separator, address = rest.partition("|")
    if not separator:
        return None
    assigned = found.assignment.topic_partitions if found.assignment else ()
    return Member(name, address, version, frozenset(tp.partition for tp in assigned))


def by_slot(members: Iterable[Member]) -> dict[int, Member]:
    """Who has each slot."""
    return {slot: member for member in members for slot in member.slots}


def wait_for_slots(sharing: Sharing, timeout_s: float = JOIN_S) -> frozenset[int] | None:
    """The slots, waiting at most so long for them."""
    deadline = time.monotonic() + timeout_s
    while (slots := sharing.slots) is None and time.monotonic() < deadline:
        sharing.wait(0.5)
    return slots
