"""Topics and their messages."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streamguard.desk import shown
from streamguard.desk.api.brokers import asks_kafka
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.brokers import cluster
from streamguard.desk.cluster import history_of
from streamguard.desk.look import SCRIPT_STEP_S, Look
from streamguard.desk.reveal import note_opened
from streamguard.desk.site import NotFound
from streamguard.kafka.browse import Browser
from streamguard.kafka.messages import Contains, Message, cursor_of, cursor_text
from streamguard.kafka.overview import TopicFacts, overview

Part = Field("", max_length=1_000, pattern=r"^[^\x00]*$")


class TopicFilter(Model):
    """Topics whose name contains a text; `internal` are those that begin with an underscore."""

    q: str = Field("", max_length=255)
    internal: bool = False


class PartitionOut(Model):
    """Offsets from `first` to before `end`; some may hold no message. `size_bytes` is null where the broker does not say."""

    partition: int
    first: int
    end: int
    size_bytes: int | None
    leader: int
    replicas: int
    in_sync: int


class TopicOut(Model):
    """A topic. `per_s` is messages a second over the last minute, null while it is not known; `groups` are behind by so many."""

    name: str
    messages: int
    size_bytes: int | None
    per_s: float | None
    partitions: list[PartitionOut]
    groups: dict[str, int]
    settings: dict[str, str]


class TopicPage(Model):
    """All topics, by name."""

    topics: list[TopicOut]


class MessageFilter(Model):
    """Where a search begins: `newest`, `oldest`, an offset, a time in UTC or so long ago (`2h`); and what messages contain.

    `at` is `next` of the answer before, with all other fields the same.
    """

    partition: int | None = Field(None, ge=0, le=10**9 - 1)
    begin: str = Field("newest", max_length=40, pattern=r"^[^\x00]*$")
    key: str = Part
    value: str = Part
    header: str = Part
    limit: int = Field(50, ge=1, le=500)
    at: str = Field("", max_length=20_000, pattern=r"^[0-9:,]*$")


class MessageOut(Model):
    """A message. Of key and value one is given: the text, or what is no UTF-8 in hexadecimal; both are null for null.

    In a list the value may be its beginning only: it has `value_bytes` bytes.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: str | None = None
    key_hex: str | None = None
    value: str | None = None
    value_hex: str | None = None
    value_bytes: int
    headers: list[dict[str, str | None]]


class MessagePage(Model):
    """What a step found. `next` goes on, null where nothing is left; `left` are offsets that were not looked at yet, and
    `not_read` says what is in corrupt batches."""

    messages: list[MessageOut]
    examined: int
    left: int
    not_read: list[str]
    next: str | None


@endpoint("GET", "/topics", needs="topics.read", takes=TopicFilter, gives=TopicPage)
def topics(call: Call, given: TopicFilter) -> TopicPage:
    """Topics with their size, rate, partitions, settings, and the lag of each group."""
    with asks_kafka(call), cluster(call) as client:
        found = overview(client).topics
    listed = [t for t in found if given.q.lower() in t.name.lower() and (given.internal or not t.is_internal)]
    return TopicPage(topics=[_topic(call, facts) for facts in listed])


@endpoint("GET", "/topics/{name}", needs="topics.read", gives=TopicOut)
def topic(call: Call, given: Model) -> TopicOut:
    """One topic."""
    name = call.path["name"]
    with asks_kafka(call), cluster(call) as client:
        found = next((facts for facts in overview(client).topics if facts.name == name), None)
    if found is None:
        raise NotFound(f"there is no topic {name[:80]}")
    return _topic(call, found)


@endpoint("GET", "/topics/{name}/messages", needs="topics.read", takes=MessageFilter, gives=MessagePage)
def messages(call: Call, given: MessageFilter) -> MessagePage:
    """A step through a topic, from the newest message back or from a place on; it ends after about a second."""
    contains = Contains(given.key, given.value, given.header)
    start, at = given.begin.strip() or "newest", cursor_of(given.at) if given.at else {}
    look = Look(given.partition, start, contains, given.limit, at)
    with asks_kafka(call), look.open(call, call.path["name"], step_s=SCRIPT_STEP_S) as browser:
        step = look.step(browser)
        left = browser.left(step, backward=look.backward)
    name = call.path["name"]
    if call.desk.looks.is_new(call.user, name, str(look.fields)):
        _opened(call, f"topic {name}", look.fields)
    return MessagePage(
        messages=[_message(found) for found in step.messages],
        examined=step.examined,
        left=left,
        not_read=[str(batch) for batch in step.skipped.values()],
        next=cursor_text(step.next) or None,
    )


@endpoint("GET", "/topics/{name}/messages/{partition}/{offset}", needs="topics.read", gives=MessageOut)
def message(call: Call, given: Model) -> MessageOut:
    """One message whole."""
    name, partition, offset = call.path["name"], call.number("partition", "partition"), call.number("offset", "offset")
    with (
        asks_kafka(call),
        Browser(call.desk.settings.kafka, name, [partition]) as browser,
    ):
        found = browser.one(partition, offset)
    if found is None:
        raise NotFound(f"{name} has no message at partition {partition}, offset {offset}")
    _opened(call, f"record {name}/{partition}/{offset}")
    return _message(found)


def _opened(call: Call, subject: str, what: dict[str, Any] | None = None) -> None:
    with call.database() as connection:
        note_opened(connection, call.user, subject, what)


def _topic(call: Call, facts: TopicFacts) -> TopicOut:
    partitions = [
        PartitionOut(partition=p.number, **{n: getattr(p, n) for n in PartitionOut.model_fields if n != "partition"})
        for p in facts.partitions
    ]
    return TopicOut(
        name=facts.name,
        messages=facts.records,
        size_bytes=facts.size_bytes,
        per_s=history_of(call.desk.settings.kafka).rate_of(facts.name),
        partitions=partitions,
        groups=dict(facts.groups),
        settings=dict(facts.configs),
    )


def _message(found: Message) -> MessageOut:
    fields: dict[str, Any] = shown.as_line(found)
    return MessageOut(**fields, value_bytes=found.value_size)
