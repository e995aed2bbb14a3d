"""The topics of design section 4, and making sure that they exist.

Both ends call `ensure_topics` before they touch a topic, so that it does not matter which process starts first, and a
topic is never created by accident with the broker's defaults (one partition, records of 1 MiB at most).
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, for_code

from streamguard.config import Settings

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The largest record the topics take: a 5 MB record has to be read before it can be rejected with a reason."""

MAX_DEAD_LETTER_BYTES = MAX_RECORD_BYTES * 3 // 2
"""A dead letter carries such a record in base64 (4/3 of its size) with its reason."""

BLACKLIST_TOPIC = "blacklist"
"""The compacted topic that ksqldb/blacklist.sql joins with: the key is KIND:VALUE, a tombstone removes an entry."""

LABELS_TOPIC = "fraud_labels"
"""Chargebacks: which transactions turned out to be fraud, days later."""

_FOREVER = {"retention.ms": "-1"}
_LARGE = {"max.message.bytes": str(MAX_RECORD_BYTES)}


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """The settings of each topic by its name, as Kafka's topic configuration knows them.

    Records are stamped with the time of their event, which in replayed data is years past: retention by time would delete
    them as they arrive.
    """
    return {
        settings.transactions_topic: _LARGE | _FOREVER,
        settings.alerts_topic: _LARGE | _FOREVER,
        settings.decisions_topic: _LARGE | _FOREVER,
        settings.dead_letters_topic: {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)} | _FOREVER,
        BLACKLIST_TOPIC: {"cleanup.policy": "compact"},
        LABELS_TOPIC: _FOREVER,
    }


def ensure_topics(settings: Settings, admin: Any = None, extra: tuple[str, ...] = ()) -> list[str]:
    """Create the missing ones among the application's topics and `extra`; returns the names it created.

    `admin` is a KafkaAdminClient of the caller's; without it one is opened on `settings.kafka_bootstrap_servers` and
    closed again. An existing topic is left as it is. Raises kafka.errors.KafkaError where the broker rejects the request or is
    unavailable. A topic that another process creates at the same moment counts as existing.
    """
    if admin is not None:
        return _create_missing(settings, admin, extra)
    own = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, client_id="streamguard-topics")
    try:
        return _create_missing(settings, own, extra)
    finally:
        own.close()


def _create_missing(settings: Settings, admin: Any, extra: tuple[str, ...]) -> list[str]:
    configs = topic_configs(settings) | {name: _FOREVER for name in extra if name not in topic_configs(settings)}
    known = set(admin.list_topics())
    missing = {
        name: {"num_partitions": settings.topic_partitions, "replication_factor": -1, "configs": config}
        for name, config in configs.items()
        if name not in known
    }
    if not missing:
        return []
    response = admin.create_topics(missing, raise_errors=False)
    created = []
    for topic in response["topics"]:
        error = for_code(topic["error_code"])
        if topic["error_code"] == 0:
            created.append(topic["name"])
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {topic['name']}: {topic.get('error_message') or 'could not be created'}")
    return created
