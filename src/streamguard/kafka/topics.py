"""The topics of design section 4, and making sure that they exist.

Both ends call `ensure_topics` before they touch a topic, so that it does not matter which process starts first, and a
topic is never created by accident with the broker's defaults (one partition, a week, records of 1 MiB at most).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError, for_code

from streamguard.config import Settings
from streamguard.kafka import clients

log = logging.getLogger("streamguard.kafka")

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The largest record the topics take: a 5 MB record has to be read before it can be rejected with a reason."""

MAX_DEAD_LETTER_BYTES = MAX_RECORD_BYTES * 3 // 2
"""A dead letter carries such a record in base64 (4/3 of its size) with its reason."""

BLACKLIST_TOPIC = "blacklist"
"""The compacted topic that ksqldb/blacklist.sql joins with: the key is KIND:VALUE, a tombstone removes an entry."""

BOOTSTRAP_TIMEOUT_MS = 5_000
"""A broker that runs answers at once; people wait for the others."""

LABELS_TOPIC = "fraud_labels"
"""Chargebacks: which transactions turned out to be fraud, days later."""

FOREVER = {"retention.ms": "-1"}
_LARGE = {"max.message.bytes": str(MAX_RECORD_BYTES)}


@dataclass(frozen=True)
class Topic:
    """A topic to make where it is missing, with its settings as Kafka's topic configuration knows them."""

    name: str
    partitions: int
    configs: Mapping[str, str] = field(default_factory=FOREVER.copy)


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """The settings of each topic by its name, as Kafka's topic configuration knows them.

    Records are stamped with the time of their event, which in replayed data is years past: retention by time would delete
    them as they arrive.
    """
    return {
        settings.transactions_topic: _LARGE | FOREVER,
        settings.alerts_topic: _LARGE | FOREVER,
        settings.decisions_topic: _LARGE | FOREVER,
        settings.dead_letters_topic: {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)} | FOREVER,
        BLACKLIST_TOPIC: {"cleanup.policy": "compact"},
        LABELS_TOPIC: FOREVER,
    }


def ensure_topics(settings: Settings, admin: Any = None, extra: Iterable[Topic] = ()) -> list[str]:
    """Create the missing ones among the application's topics and `extra`; returns the names it created.

    `admin` is a KafkaAdminClient of the caller's; without it one is opened on `settings.kafka` and
    closed again. An existing topic is left as it is; where one of the application's has other settings, a warning says so.
    Raises kafka.errors.KafkaError where the broker rejects the request or is unavailable. A topic that another process
    creates at the same moment counts as existing.
    """
    with _client(settings, admin) as client:
        created = _create_missing(settings, client, extra)
        for difference in _differences(settings, client, set(created)):
            log.warning("%s; %s", difference, difference.advice)
        return created


@dataclass(frozen=True)
class Difference:
    """A setting of a topic that is not as the application needs it; `name` is that of Kafka, or `partitions`."""

    topic: str
    name: str
    value: str
    wanted: str

    def __str__(self) -> str:
        return f"topic {self.topic} has {self.name}={self.value}, {self.wanted} is expected"

    @property
    def advice(self) -> str:
        """What to do."""
        if self.mendable:
            return "`streamguard topics check --mend` sets it"
        return f"set STREAMGUARD_TOPIC_PARTITIONS={self.value} if that is meant: partitions cannot become fewer"

    @property
    def mendable(self) -> bool:
        """Partitions cannot become fewer."""
        return self.name != "partitions" or int(self.value) < int(self.wanted)


def differences(settings: Settings, admin: Any = None) -> list[Difference]:
    """What of the application's topics that exist is set otherwise. Raises kafka.errors.KafkaError."""
    with _client(settings, admin) as client:
        return _differences(settings, client, set())


def mend(settings: Settings, found: Iterable[Difference], admin: Any = None) -> None:
    """Set what can be set. Raises kafka.errors.KafkaError, also where the broker rejects it."""
    with _client(settings, admin) as client:
        for difference in found:
            if not difference.mendable:
                continue
            if difference.name == "partitions":
                client.create_partitions({difference.topic: int(difference.wanted)})
                continue
            change = {difference.name: ("SET", difference.wanted)}
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, difference.topic, configs=change)])


@contextmanager
def _client(settings: Settings, admin: Any) -> Iterator[Any]:
    if admin is not None:
        yield admin
        return
    own = clients.admin(
        settings.kafka,
        client_id="streamguard-topics",
        bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
    )
    try:
        yield own
    finally:
        own.close()


def _create_missing(settings: Settings, admin: Any, extra: Iterable[Topic]) -> list[str]:
    wanted = {topic.name: topic for topic in extra} | {
        name: Topic(name, settings.topic_partitions, config) for name, config in topic_configs(settings).items()
    }
    known = set(admin.list_topics())
    missing = {
        topic.name: {"num_partitions": topic.partitions, "replication_factor": -1, "configs": dict(topic.configs)}
        for topic in wanted.values()
        if topic.name not in known
    }
    if not missing:
        return []
    response = admin.create_topics(missing, raise_errors=False)
    created = []
    for answer in response["topics"]:
        error = for_code(answer["error_code"])
        if answer["error_code"] == 0:
            created.append(answer["name"])
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {answer['name']}: {answer.get('error_message') or 'could not be created'}")
    return created


def _differences(settings: Settings, admin: Any, created: set[str]) -> list[Difference]:
    """Of the topics that were there before."""
    wanted = {name: config for name, config in topic_configs(settings).items() if name not in created}
    described = {str(topic["name"]): topic for topic in admin.describe_topics(list(wanted)) if not topic["error_code"]}
    if not described:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    found = []
    for name, topic in described.items():
        partitions = len(topic["partitions"])
        if partitions != settings.topic_partitions:
            found.append(Difference(name, "partitions", str(partitions), str(settings.topic_partitions)))
        for setting, value in wanted[name].items():
            actual = str(configs[name][setting]["value"])
            if actual != value:
                found.append(Difference(name, setting, actual, value))
    return found
