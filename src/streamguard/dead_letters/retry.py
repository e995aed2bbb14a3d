"""Send dead letters again: once each, to the topic that they came from, although database and broker are two systems.

1. One retry runs at a time: it has an advisory lock, and its producer's transactional id fences one that was killed.
2. Each chunk of letters is noted with a fresh id (`dead_letters.retry_id`) and committed.
3. Their records are sent in one Kafka transaction, each with that id in its header `id`.
   The record is the one that the topic has at the letter's place, with its headers; where it is gone, the bytes of the
   letter, unless personal data is protected.
4. Partition and offset of each are noted. A letter that has an id and no offset was being sent when a retry was killed: the
   next one looks for the id in the topic, notes what it finds, and sends the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID, uuid4

from kafka import KafkaProducer
from kafka.errors import KafkaError
from sqlalchemy import Connection, text

from streamguard.config import Settings, UserError
from streamguard.database.locks import Lock
from streamguard.database.rows import select_as
from streamguard.dead_letters.find import Letter, Place, body_of
from streamguard.dead_letters.originals import Originals
from streamguard.dead_letters.outgoing import NotSendable, Outgoing, Prepare, as_it_was, original_of, outgoing_of
from streamguard.kafka import clients
from streamguard.kafka.producers import close_producer
from streamguard.kafka.topic_reader import TopicReader
from streamguard.kafka.topics import MAX_RECORD_BYTES
from streamguard.privacy.protection import Protection

CHUNK = 200
CHUNK_BYTES = 16 * 1024 * 1024
ACKNOWLEDGED_WITHIN_S = 20.0

_UNFINISHED = """
SELECT source_topic AS topic, source_partition AS partition, source_offset AS "offset", retry_id FROM dead_letters
WHERE retry_id IS NOT NULL AND retried_offset IS NULL
"""
_AT = "source_topic = :topic AND source_partition = :partition AND source_offset = :offset"
_NOTE_ID = f"""
UPDATE dead_letters SET retry_id = :id, retried_at = clock_timestamp(), retried_by = :who,
    retried_partition = NULL, retried_offset = NULL
WHERE {_AT}
"""
_NOTE_RECORD = """
UPDATE dead_letters SET retried_partition = :partition, retried_offset = :offset
WHERE retry_id = :id AND retried_offset IS NULL
"""
_FORGET = "UPDATE dead_letters SET retry_id = NULL, retried_at = NULL, retried_by = NULL WHERE retry_id = :id"


class RetryError(UserError):
    """Dead letters could not be sent again."""


@dataclass(frozen=True)
class _Unfinished:
    """A dead letter that was being sent."""

    topic: str
    partition: int
    offset: int
    retry_id: UUID


@dataclass(frozen=True)
class _Noted:
    """A dead letter with the id of its record."""

    place: Place
    id: UUID
    record: Outgoing


@dataclass(frozen=True)
class Sent:
    """A dead letter and the record that it was sent again as, or why it was not."""

    place: Place
    record: Place | None
    problem: str | None = None


def retry(
    connection: Connection,
    settings: Settings,
    letters: Sequence[Letter],
    who: str,
    protection: Protection,
    prepare: Prepare = as_it_was,
) -> Iterator[Sent]:
    """Send the letters again, in their order; each is noted with its new record when it is acknowledged.

    `connection` commits each statement; `protection` is that of its database. Raises RetryError where another retry runs or
    the broker rejects a record, kafka.errors.KafkaError where it is unavailable, TopicNotRead.
    """
    with (
        _alone(connection),
        _producer(settings) as producer,
        closing(Originals(settings.kafka)) as topics,
    ):
        found = _resume(connection, settings)
        chunk: list[_Noted] = []
        for letter in letters:
            if letter.place in found:
                yield Sent(letter.place, found[letter.place])
                continue
            try:
                original = original_of(body_of(connection, letter.place), topics, letter.place, protection)
                record = outgoing_of(original, letter.place, prepare)
            except NotSendable as error:
                yield Sent(letter.place, None, str(error))
                continue
            chunk.append(_Noted(letter.place, uuid4(), record))
            if len(chunk) >= CHUNK or sum(len(noted.record.value) for noted in chunk) >= CHUNK_BYTES:
                yield from _send(connection, producer, chunk, who)
                chunk = []
        yield from _send(connection, producer, chunk, who)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    lock = {"lock": Lock.RETRY}
    if not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), lock).scalar_one():
        raise RetryError("another `streamguard dead-letters retry` runs: wait until it is done")
    try:
        yield
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), lock)


@contextmanager
def _producer(settings: Settings) -> Iterator[KafkaProducer]:
    """A producer that has fenced, and aborted, what a killed retry was sending."""
    producer = clients.producer(
        settings.kafka,
        client_id="streamguard-dead-letters",
        transactional_id=f"{settings.consumer_group}-dead-letters",
        acks="all",
        max_request_size=MAX_RECORD_BYTES + 1024 * 1024,
        max_block_ms=int(ACKNOWLEDGED_WITHIN_S * 1000),
        bootstrap_timeout_ms=5_000,
    )
    done = False
    try:
        producer.init_transactions()
        yield producer
        done = True
    finally:
        close_producer(producer, abandon=not done)


def _resume(connection: Connection, settings: Settings) -> dict[Place, Place]:
    """Note the records of letters that a killed retry had sent; those it had not are letters like any other again."""
    unfinished = select_as(connection, _Unfinished, text(_UNFINISHED))
    found: dict[UUID, Place] = {}
    for topic in sorted({letter.topic for letter in unfinished}):
        wanted = {str(letter.retry_id).encode(): letter.retry_id for letter in unfinished if letter.topic == topic}
        for record in TopicReader(settings.kafka, topic):
            for name, value in record.headers:
                if name == "id" and value in wanted:
                    found[wanted[value]] = Place(topic, record.partition, record.offset)
    noted = {}
    for letter in unfinished:
        record_place = found.get(letter.retry_id)
        if record_place is None:
            connection.execute(text(_FORGET), {"id": letter.retry_id})
            continue
        connection.execute(text(_NOTE_RECORD), {**asdict(record_place), "id": letter.retry_id})
        noted[Place(letter.topic, letter.partition, letter.offset)] = record_place
    return noted


def _send(connection: Connection, producer: Any, chunk: Sequence[_Noted], who: str) -> Iterator[Sent]:
    """Note the letters, send their records in one transaction, and note what they became."""
    if not chunk:
        return
    notes = [{**asdict(noted.place), "id": noted.id, "who": who} for noted in chunk]
    connection.execute(text(_NOTE_ID), notes)
    producer.begin_transaction()
    try:
        futures = [
            producer.send(
                noted.place.topic,
                key=noted.record.key,
                value=noted.record.value,
                headers=[*noted.record.headers, ("id", str(noted.id).encode())],
            )
            for noted in chunk
        ]
        records = [future.get(timeout=ACKNOWLEDGED_WITHIN_S) for future in futures]
        producer.commit_transaction()
    except KafkaError as error:
        raise RetryError(
            f"the {len(chunk)} dead letters from {chunk[0].place} on were not acknowledged ({type(error).__name__}: {error});"
            " the next retry goes on with them"
        ) from None
    places = [
        Place(noted.place.topic, found.partition, found.offset) for noted, found in zip(chunk, records, strict=True)
    ]
    connection.execute(
        text(_NOTE_RECORD), [{**asdict(place), "id": noted.id} for noted, place in zip(chunk, places, strict=True)]
    )
    yield from (Sent(noted.place, place) for noted, place in zip(chunk, places, strict=True))
