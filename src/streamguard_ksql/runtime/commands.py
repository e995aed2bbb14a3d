"""The command topic: every statement that defines or ends something, in order; the truth that a restart replays.

The offset of a statement numbers the query it starts, so that a replay gives every query the id it had: as in ksqlDB the
statements are written in transactions, whose markers have every other offset, and the number is the one behind the offset.
Key: the command's id as ksqlDB forms it. Value: JSON with the statement, the properties it was sent with, and VERSION.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Message, Servers
from streamguard_ksql.runtime.corrupt import read_range
from streamguard_ksql.runtime.inserter import ANSWER_S
from streamguard_ksql.runtime.sharing import TRANSACTION_MS

log = logging.getLogger(__name__)
NEED = (
    "Sources and queries are defined by the statements in it: restore the topic from a backup, or start with an empty "
    "one (another service id) and send the statements again."
)
_unheard = logging.getLogger(f"{__name__}.claims")
"""The client calls the end of a claim a fatal error; here it is how engines take turns."""
_unheard.addHandler(logging.NullHandler())
_unheard.propagate = False
VERSION = 2
"""Of the records. A query that a record without it has started is numbered with the offset itself."""
_TAKEN = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
"""Another producer has claimed the transactional id."""


@dataclass(frozen=True)
class Command:
    """A statement of the command topic."""

    offset: int
    text: str
    properties: Mapping[str, Any]
    number: int
    """Of the query that it starts."""


class Superseded(Exception):
    """Another engine has written to the command topic: catch up, and try again."""


class CommandLog:
    """Appends statements and reads them back. `next_offset`: of the first statement that has not been carried out.

    One engine writes at a time: who wants to claims the transactional id, which ends the claim of who had it before, and
    reads what that one wrote. So nobody appends a statement that was checked against a catalogue of before (Superseded).
    """

    def __init__(self, servers: Servers, topics: KafkaTopics, topic: str, writer_id: str) -> None:
        self.servers = servers
        self.topic = topic
        self.next_offset = 0
        self.doubtful = False
        self._topics = topics
        topics.create(topic, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})
        self._writer_id = writer_id
        self._claimed: Producer | None = None

    def claim(self) -> None:
        """Become the engine that writes; what is not carried out yet is to be read after that. KafkaUnavailable."""
        if self._claimed is not None:
            return
        producer = clients.producer(
            self.servers,
            transactional_id=self._writer_id,
            reports=True,
            linger_ms=0,
            log_to=_unheard,
            transaction_timeout_ms=TRANSACTION_MS,
        )
        try:
            clients.begin_transactions(producer)
        except KafkaException as error:
            clients.close_producer(producer, transactional=True)
            raise KafkaUnavailable(f"The command topic cannot be written: {error.args[0].str()}") from error
        self._claimed, self.doubtful = producer, True

    def _write(self, producer: Producer, record: OutputRecord) -> int:
        offsets: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append(message.offset())

        try:
            producer.begin_transaction()
            producer.produce(record.topic, value=record.value, key=record.key, on_delivery=delivered)
            producer.commit_transaction(ANSWER_S)
        except KafkaException as error:
            self._claimed = None
            clients.close_producer(producer, transactional=True)
            if error.args[0].code() in _TAKEN:
                raise Superseded from error
            raise KafkaUnavailable(f"Could not write the statement: {error.args[0].str()}") from error
        return offsets[0]

    def replay(self) -> Iterator[Command]:
        """The statements that have not been carried out yet, oldest first."""
        start, end = self._topics.ends(self.topic)
        yield from self.taken(read_range(self.servers, self.topic, max(start, self.next_offset), end, NEED))
        self.doubtful = False

    def taken(self, messages: Iterable[Message]) -> Iterator[Command]:
        """The statements in records of the topic that have not been carried out yet."""
        for message in messages:
            if message.offset() < self.next_offset:
                continue
            self.next_offset = message.offset() + 1
            command = _command(message.offset(), message.value())
            if command is not None:
                yield command

    def append(self, key: str, text: str, properties: Mapping[str, Any]) -> Command:
        """Write a statement, as who has claimed the topic. Returns once it is on disk.

        KafkaUnavailable if there was no answer in time: it may be stored all the same, so `doubtful` is set, and `replay`
        is to be asked before anything else is appended. Superseded where another engine has claimed the topic since.
        """
        assert self._claimed is not None
        value = {"statement": text, "streamsProperties": dict(properties), "version": VERSION}
        try:
            offset = self._write(self._claimed, OutputRecord(self.topic, key.encode(), orjson.dumps(value), -1))
        except KafkaUnavailable:
            self.doubtful = True
            raise
        self.next_offset = offset + 1
        return Command(offset, text, properties, offset + 1)

    def close(self) -> None:
        """Close the connection."""
        if self._claimed is not None:
            clients.close_producer(self._claimed, transactional=True)


def _command(offset: int, value: bytes | None) -> Command | None:
    """A record of the topic as a command; None, and an entry in the log, for what is none."""
    try:
        entry = orjson.loads(value or b"")
    except ValueError:
        entry = None
    properties = (entry.get("streamsProperties") or {}) if isinstance(entry, dict) else None
    if not isinstance(properties, dict) or "statement" not in entry:
        log.error("record %d of the command topic is no statement and is left out: %.200r", offset, value)
        return None
    number = offset + 1 if entry.get("version") == VERSION else offset
    return Command(offset, str(entry["statement"]), properties, number)
