"""Topics and consumer groups under kafka_exporter's names, so that public dashboards and alarms fit.

Names: https://github.com/danielqsj/kafka_exporter#metrics
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from streamguard.kafka.overview import GroupFacts, Overview, TopicFacts

_PARTITION = ("topic", "partition")
_OF_GROUP = ("consumergroup", "topic", "partition")


class KafkaMetrics:
    """What a cluster has, asked at each scrape. `overview` gives None where Kafka does not answer."""

    def __init__(self, overview: Callable[[], Overview | None]) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        found = self._overview()
        yield GaugeMetricFamily("streamguard_kafka_up", "Whether Kafka answers.", float(found is not None))
        if found is not None:
            yield from _topics(found.topics)
            yield from _groups(found.groups)

    def describe(self) -> Iterable[Metric]:
        """Nothing: Kafka is not asked at the start."""
        return ()


def _topics(topics: Iterable[TopicFacts]) -> Iterator[Metric]:
    counts = GaugeMetricFamily("kafka_topic_partitions", "Partitions of a topic.", labels=["topic"])
    current = GaugeMetricFamily("kafka_topic_partition_current_offset", "End of a partition.", labels=_PARTITION)
    oldest = GaugeMetricFamily("kafka_topic_partition_oldest_offset", "Begin of a partition.", labels=_PARTITION)
    replicas = GaugeMetricFamily("kafka_topic_partition_replicas", "Replicas of a partition.", labels=_PARTITION)
    in_sync = GaugeMetricFamily("kafka_topic_partition_in_sync_replica", "Those in sync.", labels=_PARTITION)
    size = GaugeMetricFamily("streamguard_kafka_topic_size_bytes", "Bytes of a topic on disk.", labels=["topic"])
    for topic in topics:
        counts.add_metric([topic.name], len(topic.partitions))
        if topic.size_bytes is not None:
            size.add_metric([topic.name], topic.size_bytes)
        for partition in topic.partitions:
            labels = [topic.name, str(partition.number)]
            current.add_metric(labels, partition.end)
            oldest.add_metric(labels, partition.first)
            replicas.add_metric(labels, partition.replicas)
            in_sync.add_metric(labels, partition.in_sync)
    yield from (counts, current, oldest, replicas, in_sync, size)


def _groups(groups: Iterable[GroupFacts]) -> Iterator[Metric]:
    members = GaugeMetricFamily("kafka_consumergroup_members", "Members of a group.", labels=["consumergroup"])
    current = GaugeMetricFamily("kafka_consumergroup_current_offset", "What a group has committed.", labels=_OF_GROUP)
    lag = GaugeMetricFamily("kafka_consumergroup_lag", "Offsets that a group is behind.", labels=_OF_GROUP)
    sums = GaugeMetricFamily(
        "kafka_consumergroup_lag_sum", "The same over the partitions of a topic.", labels=_OF_GROUP[:2]
    )
    for group in groups:
        members.add_metric([group.name], len(group.members))
        by_topic: dict[str, int] = {}
        for one in group.lags:
            if one.committed is None or one.records is None:
                continue
            labels = [group.name, one.partition.topic, str(one.partition.partition)]
            current.add_metric(labels, one.committed)
            lag.add_metric(labels, one.records)
            by_topic[one.partition.topic] = by_topic.get(one.partition.topic, 0) + one.records
        for topic, records in sorted(by_topic.items()):
            sums.add_metric([group.name, topic], records)
    yield from (members, current, lag, sums)
