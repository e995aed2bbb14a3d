"""What a cluster has: topics with their sizes and settings, consumer groups with their members and lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError
from kafka.protocol.consumer import IsolationLevel

from streamguard.kafka.lags import Lag


@dataclass(frozen=True)
class PartitionFacts:
    """Offsets `[first, end)` of a partition; some may hold no record. `size_bytes` is None where the broker does not say."""

    number: int
    first: int
    end: int
    size_bytes: int | None
    leader: int
    replicas: int
    in_sync: int

    @property
    def records(self) -> int:
        """Offsets in use."""
        return self.end - self.first


@dataclass(frozen=True)
class TopicFacts:
    """A topic. `groups` are those that have committed an offset in it, with the records that each is behind."""

    name: str
    is_internal: bool
    partitions: list[PartitionFacts]
    configs: Mapping[str, str]
    groups: Mapping[str, int]

    @property
    def records(self) -> int:
        return sum(partition.records for partition in self.partitions)

    @property
    def end(self) -> int:
        """The sum of the ends: it grows with each record, and never shrinks."""
        return sum(partition.end for partition in self.partitions)

    @property
    def size_bytes(self) -> int | None:
        sizes = [partition.size_bytes for partition in self.partitions]
        return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True)
class Member:
    """A consumer of a group."""

    member_id: str
    client_id: str
    host: str
    partitions: list[TopicPartition]


@dataclass(frozen=True)
class GroupFacts:
    """A consumer group; `lags` of each partition that it committed an offset for."""

    name: str
    state: str
    members: list[Member]
    lags: list[Lag] = field(default_factory=list)

    @property
    def lag(self) -> int:
        """Records behind, in all."""
        return sum(lag.records or 0 for lag in self.lags)

    @property
    def topics(self) -> list[str]:
        return sorted({lag.partition.topic for lag in self.lags})

    def member_of(self, partition: TopicPartition) -> Member | None:
        """Who reads a partition."""
        return next((member for member in self.members if partition in member.partitions), None)


@dataclass(frozen=True)
class Overview:
    """All topics and groups, at one moment."""

    topics: list[TopicFacts]
    groups: list[GroupFacts]


def overview(client: KafkaAdminClient, *, with_configs: bool = True) -> Overview:
    """Everything, on request without the settings of the topics, which are most of what is sent. Raises KafkaError."""
    described = [topic for topic in client.describe_topics() if not topic["error_code"]]
    partitions = [
        TopicPartition(topic["name"], found["partition_index"]) for topic in described for found in topic["partitions"]
    ]
    firsts, ends = _offsets(client, partitions, OffsetSpec.EARLIEST), _offsets(client, partitions, OffsetSpec.LATEST)
    groups = groups_of(client)
    behind: dict[str, dict[str, int]] = {}
    for group in groups:
        for lag in group.lags:
            found = behind.setdefault(lag.partition.topic, {})
            found[group.name] = found.get(group.name, 0) + (lag.records or 0)
    names = [topic["name"] for topic in described] if with_configs else []
    sizes, configs = _sizes(client), _configs(client, names)
    return Overview(
        [
            TopicFacts(
                topic["name"],
                bool(topic["is_internal"]) or str(topic["name"]).startswith("_"),
                sorted((_partition(topic["name"], p, firsts, ends, sizes) for p in topic["partitions"]), key=_number),
                configs.get(topic["name"], {}),
                behind.get(topic["name"], {}),
            )
            for topic in sorted(described, key=lambda topic: str(topic["name"]))
        ],
        groups,
    )


def groups_of(client: KafkaAdminClient, names: list[str] | None = None) -> list[GroupFacts]:
    """All groups, or those of these names that there are, by name. Raises KafkaError."""
    listed = {str(group["group_id"]): str(group.get("group_state") or "") for group in client.list_groups()}
    wanted = sorted(set(listed) if names is None else set(listed) & set(names))
    if not wanted:
        return []
    described = client.describe_groups(wanted)
    committed = client.list_group_offsets(dict.fromkeys(wanted))
    partitions = {partition for offsets in committed.values() for partition in offsets}
    ends = _committed_ends(client, partitions)
    return [
        GroupFacts(
            name,
            group_state(listed[name], described[name]["group_state"]),
            [_member(member) for member in described[name]["members"]],
            [
                Lag(partition, at.offset if at.offset >= 0 else None, ends[partition])
                for partition, at in sorted(committed[name].items())
                if partition in ends
            ],
        )
        for name in wanted
    ]


def group_state(listed: str, described: str | None) -> str:
    """The state of a group that is there: DescribeGroups calls those of the consumer protocol (KIP-848) Dead."""
    return described if described and described != "Dead" else listed


def _committed_ends(client: KafkaAdminClient, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
    """The ends for readers of committed records; groups also keep offsets of topics that were deleted, which have none."""
    there = {topic["name"] for topic in client.describe_topics() if not topic["error_code"]}
    asked = [partition for partition in partitions if partition.topic in there]
    return _offsets(client, asked, OffsetSpec.LATEST)


def _offsets(client: KafkaAdminClient, partitions: list[TopicPartition], at: OffsetSpec) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    found = client.list_partition_offsets(dict.fromkeys(partitions, at), isolation_level=IsolationLevel.READ_COMMITTED)
    return {partition: int(answer.offset) for partition, answer in found.items()}


def _number(partition: PartitionFacts) -> int:
    return partition.number


def _partition(
    topic: str,
    described: Any,
    firsts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    sizes: Mapping[TopicPartition, int] | None,
) -> PartitionFacts:
    place = TopicPartition(topic, described["partition_index"])
    return PartitionFacts(
        place.partition,
        firsts[place],
        ends[place],
        None if sizes is None else sizes.get(place, 0),
        described["leader_id"],
        len(described["replica_nodes"]),
        len(described["isr_nodes"]),
    )


def _sizes(client: KafkaAdminClient) -> dict[TopicPartition, int] | None:
    """Bytes on the brokers' disks; None where they do not say, as managed clusters do."""
    try:
        folders = [folder for broker in client.describe_log_dirs() for folder in broker["log_dirs"]]
    except KafkaError:
        return None
    sizes: dict[TopicPartition, int] = {}
    for topic in (topic for folder in folders for topic in folder["topics"]):
        for partition in topic["partitions"]:
            place = TopicPartition(topic["name"], partition["partition_index"])
            sizes[place] = sizes.get(place, 0) + int(partition["partition_size"])
    return sizes


def _configs(client: KafkaAdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    found = client.describe_configs(asked, config_filter="all")["topic"]
    return {name: {key: str(config["value"]) for key, config in configs.items()} for name, configs in found.items()}


def _member(described: Any) -> Member:
    assigned = (described["member_assignment"] or {}).get("assigned_partitions", [])
    return Member(
        str(described["member_id"]),
        str(described["client_id"]),
        str(described["client_host"]).lstrip("/"),
        sorted(TopicPartition(part["topic"], number) for part in assigned for number in part["partitions"]),
    )
