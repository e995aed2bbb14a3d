"""The topic of a source that exists already has to be what WITH says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamguard_ksql.ddl.properties import SourceProperties
from streamguard_ksql.engine import Engine, TopicShape
from streamguard_ksql.errors import KsqlError

_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")


def check_topic_name(engine: Engine, topic: str) -> None:
    """KsqlError for a name that no topic of Kafka can have."""
    if not engine.replaying and not _TOPIC_NAME.fullmatch(topic):
        raise KsqlError(
            f"Failed to check if exists for topic: {topic}\n"
            "Caused by: The request attempted to perform an operation on an invalid topic."
        )


def check_topic(engine: Engine, topic: str, given: Mapping[str, Any]) -> None:
    """KsqlError if the topic exists with another number of partitions or replicas, or another retention."""
    found = None if engine.replaying else engine.topics.shape(topic)
    if found is None:
        return
    properties = SourceProperties(given, {})
    partitions, replicas = properties.number("PARTITIONS"), properties.number("REPLICAS")
    retention_ms = properties.number("RETENTION_MS")
    wanted = TopicShape(
        found.partitions if partitions is None else partitions,
        found.replicas if replicas is None or replicas < 0 else replicas,
        found.retention_ms if retention_ms is None else retention_ms,
    )
    if wanted != found:
        raise KsqlError(
            f"A Kafka topic with the name '{topic}' already exists, with different partition/replica/retention "
            f"configuration than required. KSQL expects {wanted.partitions} partitions (topic has {found.partitions}), "
            f"{wanted.replicas} replication factor (topic has {found.replicas}), and {wanted.retention_ms} retention "
            f"(topic has {found.retention_ms})."
        )
