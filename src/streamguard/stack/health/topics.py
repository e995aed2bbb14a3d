"""The topics: whether a broker has them, as the application needs them, and what is gone from them."""

from __future__ import annotations

from collections.abc import Iterator

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from streamguard.kafka.topics import differences, topic_configs
from streamguard.stack.health.base import Context, Finding, check


@check("Kafka is unavailable")
def unavailable(context: Context) -> Iterator[Finding]:
    """No broker answers."""
    if context.kafka is None:
        yield Finding(
            f"Kafka at {context.settings.kafka_bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS) is unavailable:"
            f" {context.kafka_error}; producers, rules and consumer wait for it: {context.where_to_look('broker')}"
        )


@check("A topic is missing")
def missing(context: Context) -> Iterator[Finding]:
    """A topic of the application was deleted, or this is a broker that no start has seen."""
    if context.kafka is None:
        return
    if absent := sorted(set(topic_configs(context.settings)) - set(context.kafka.list_topics())):
        yield Finding(f"the broker does not have the topics {', '.join(absent)}: `streamguard up` makes them")


@check("A topic has other settings")
def other_settings(context: Context) -> Iterator[Finding]:
    """It may be meant, retention above all; so nothing stands still for it."""
    for difference in differences(context.settings, context.kafka) if context.kafka is not None else ():
        yield Finding(f"{difference}; if it is not meant, {difference.advice}", serious=False)


@check("Records were removed by retention")
def removed(context: Context) -> Iterator[Finding]:
    """Retention or DeleteRecords has removed the first records of a topic. A compacted topic begins where it began."""
    if context.kafka is None:
        return
    names = sorted(set(topic_configs(context.settings)) & set(context.kafka.list_topics()))
    described = context.kafka.describe_topics(names) if names else []
    partitions = [TopicPartition(t["name"], p["partition_index"]) for t in described for p in t["partitions"]]
    first = context.kafka.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST)) if partitions else {}
    counts = {name: sum(first[p].offset for p in partitions if p.topic == name) for name in names}
    if gone := [f"{count:,} of {name}" for name, count in counts.items() if count]:
        yield Finding(
            f"records removed from topics by retention or on request: {', '.join(gone)}; what rules and consumer had not"
            " read is lost to them",
            serious=False,
        )
