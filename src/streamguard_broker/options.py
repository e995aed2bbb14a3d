"""The start options of a broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from streamguard_broker.configs import TopicConfig

MAX_GROUP_SIZE = 10_000
"""Members of a group."""


@dataclass(frozen=True)
class BrokerOptions:
    """Sizes in bytes, times in ms. `topic_defaults` are topic settings (Kafka's names) for topics without their own."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 9092
    advertise: tuple[str, int] | None = None
    """The address that clients are given; None means the one that is listened on."""
    node_id: int = 1
    auto_create_topics: bool = False
    default_partitions: int = 1
    topic_defaults: dict[str, str] = field(default_factory=dict)
    sasl: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    metrics_listen: tuple[str, int] | None = None
    metrics_file: Path | None = None
    """Written with the address of the metrics, as Prometheus' file_sd reads it."""
    max_frame_bytes: int = 100 * 1024 * 1024
    queued_max_request_bytes: int = 128 * 1024 * 1024
    queued_max_response_bytes: int = 48 * 1024 * 1024
    stalled_frame_timeout_ms: int = 30_000
    fetch_max_bytes: int = 8 * 1024 * 1024
    max_connections: int = 1000
    max_connections_per_ip: int = 2**31 - 1
    reserved_files: int = 64
    silent_timeout_ms: int = 10_000
    max_pipelined_requests: int = 32
    idle_timeout_ms: int = 10 * 60 * 1000
    rebalance_initial_delay_ms: int = 0
    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 30 * 60 * 1000
    group_consumer_session_timeout_ms: int = 45_000
    group_consumer_heartbeat_interval_ms: int = 5_000
    flush_interval_ms: int = 1000
    retention_check_interval_ms: int = 60_000
    compaction_interval_ms: int = 15_000
    offsets_retention_ms: int = 7 * 24 * 3600 * 1000

    @property
    def protocol(self) -> str:
        """Kafka's name of the listener's security protocol."""
        return ("SASL_" if self.sasl else "") + ("SSL" if self.tls_certificate else "PLAINTEXT")

    def as_kafka_configs(self) -> dict[str, str]:
        """These options under the names that Kafka gives them, for DescribeConfigs of the broker."""
        topics = TopicConfig({}, self.topic_defaults)
        host, port = self.advertise or (self.host, self.port)
        return {
            "advertised.listeners": f"{self.protocol}://{host}:{port}",
            "authorizer.class.name": "",
            "auto.create.topics.enable": str(self.auto_create_topics).lower(),
            "broker.id": str(self.node_id),
            "connections.max.idle.ms": str(self.idle_timeout_ms),
            "compression.type": "producer",
            "default.replication.factor": "1",
            "delete.topic.enable": "true",
            "fetch.max.bytes": str(self.fetch_max_bytes),
            "group.consumer.assignors": "uniform,range",
            "group.consumer.heartbeat.interval.ms": str(self.group_consumer_heartbeat_interval_ms),
            "group.consumer.max.size": str(MAX_GROUP_SIZE),
            "group.consumer.migration.policy": "disabled",
            "group.consumer.session.timeout.ms": str(self.group_consumer_session_timeout_ms),
            "group.coordinator.rebalance.protocols": "classic,consumer",
            "group.initial.rebalance.delay.ms": str(self.rebalance_initial_delay_ms),
            "group.max.session.timeout.ms": str(self.group_max_session_timeout_ms),
            "group.min.session.timeout.ms": str(self.group_min_session_timeout_ms),
            "listeners": f"{self.protocol}://{self.host}:{self.port}",
            "log.cleanup.policy": topics.value("cleanup.policy"),
            "log.dirs": str(self.data_dir),
            "log.message.timestamp.after.max.ms": topics.value("message.timestamp.after.max.ms"),
            "log.message.timestamp.before.max.ms": topics.value("message.timestamp.before.max.ms"),
            "log.message.timestamp.type": topics.value("message.timestamp.type"),
            "log.retention.bytes": topics.value("retention.bytes"),
            "log.retention.ms": topics.value("retention.ms"),
            "max.connections": str(self.max_connections),
            "max.connections.per.ip": str(self.max_connections_per_ip),
            "log.segment.bytes": topics.value("segment.bytes"),
            "message.max.bytes": topics.value("max.message.bytes"),
            "min.insync.replicas": topics.value("min.insync.replicas"),
            "node.id": str(self.node_id),
            "num.partitions": str(self.default_partitions),
            "offsets.retention.minutes": str(self.offsets_retention_ms // 60_000),
            "offsets.topic.replication.factor": "1",
            "process.roles": "broker,controller",
            "socket.request.max.bytes": str(self.max_frame_bytes),
            "transaction.max.timeout.ms": "900000",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.replication.factor": "1",
        }

    def as_group_configs(self) -> dict[str, str]:
        """The settings of groups of the consumer protocol, which are the same for all."""
        return {
            "consumer.heartbeat.interval.ms": str(self.group_consumer_heartbeat_interval_ms),
            "consumer.session.timeout.ms": str(self.group_consumer_session_timeout_ms),
        }
