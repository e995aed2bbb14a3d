"""What each setting of topics, the broker and groups means, as DescribeConfigs documents it."""

# ruff: noqa: E501  # one line for each setting

from __future__ import annotations

from streamguard_broker.configs import ConfigType

TOPIC_DOCUMENTATION: dict[str, str] = {
    "cleanup.policy": "What happens to old records: delete (by age and size), compact (the newest of each key is kept), both, or empty: all are kept.",
    "compression.gzip.level": "The gzip level of batches that the broker compresses; -1 is the default of the library.",
    "compression.lz4.level": "The lz4 level of batches that the broker compresses.",
    "compression.type": "The compression of stored batches; producer keeps that of the producer.",
    "compression.zstd.level": "The zstd level of batches that the broker compresses.",
    "delete.retention.ms": "How long, in ms, a compacted topic keeps tombstones.",
    "file.delete.delay.ms": "How long, in ms, the file of a deleted segment stays.",
    "flush.messages": "After how many records a partition is synced to disk.",
    "flush.ms": "After how many ms a written record is synced to disk.",
    "follower.replication.throttled.replicas": "Replicas whose replication is throttled on the followers.",
    "index.interval.bytes": "Bytes of records between two entries of the offset index.",
    "leader.replication.throttled.replicas": "Replicas whose replication is throttled on the leader.",
    "local.retention.bytes": "Bytes of a partition that stay on the local disk where older ones are in tiered storage; -2: as retention.bytes.",
    "local.retention.ms": "Age, in ms, up to which records stay on the local disk where older ones are in tiered storage; -2: as retention.ms.",
    "max.compaction.lag.ms": "The longest time, in ms, that a record stays uncompacted.",
    "max.message.bytes": "The largest batch that is accepted, in bytes, after compression.",
    "message.downconversion.enable": "Whether batches are converted for old consumers. Kafka 4 has it no more.",
    "message.format.version": "The format of stored batches. Kafka 4 has it no more.",
    "message.timestamp.after.max.ms": "How far, in ms, a record's timestamp may be ahead of the broker's clock; others are rejected.",
    "message.timestamp.before.max.ms": "How far, in ms, a record's timestamp may be behind the broker's clock; others are rejected.",
    "message.timestamp.difference.max.ms": "How far a timestamp may be from the broker's clock. Kafka 4 has it no more.",
    "message.timestamp.type": "Whether a record's timestamp is the producer's (CreateTime) or the time of its append (LogAppendTime).",
    "min.cleanable.dirty.ratio": "The part of a partition that must be uncompacted before it is compacted.",
    "min.compaction.lag.ms": "The shortest time, in ms, that a record stays uncompacted.",
    "min.insync.replicas": "How many replicas must have a record before acks=all is answered.",
    "preallocate": "Whether a new segment's file takes its full size at once.",
    "remote.log.copy.disable": "Whether no more segments are copied to tiered storage.",
    "remote.log.delete.on.disable": "Whether disabling tiered storage deletes what it has.",
    "remote.storage.enable": "Whether old segments move to tiered storage.",
    "retention.bytes": "Bytes that a partition keeps where the policy is delete; -1: all.",
    "retention.ms": "Age, in ms, up to which records are kept where the policy is delete; -1: for ever.",
    "segment.bytes": "Size of a segment; retention and compaction work by whole segments.",
    "segment.index.bytes": "Size of the offset index of a segment.",
    "segment.jitter.ms": "The most ms taken at random from segment.ms.",
    "segment.ms": "Age, in ms, after which a segment is closed though it is not full.",
    "unclean.leader.election.enable": "Whether a replica that lags may become leader, with loss of records.",
}

BROKER_CONFIGS: dict[str, tuple[ConfigType, str]] = {
    "advertised.listeners": (ConfigType.STRING, "The address that clients are told to connect to."),
    "authorizer.class.name": (
        ConfigType.STRING,
        "The class that authorizes requests; empty: none, and every client that may connect may do everything.",
    ),
    "auto.create.topics.enable": (ConfigType.BOOLEAN, "Whether a client creates a topic by naming it."),
    "broker.id": (ConfigType.INT, "The id of this node."),
    "compression.type": (ConfigType.STRING, "The default of compression.type of topics."),
    "connections.max.idle.ms": (ConfigType.LONG, "After how many ms an idle connection is closed."),
    "default.replication.factor": (ConfigType.INT, "Replicas of a topic that is created without a number of them."),
    "delete.topic.enable": (ConfigType.BOOLEAN, "Whether topics can be deleted."),
    "fetch.max.bytes": (ConfigType.INT, "The largest response to a fetch, in bytes; its first batch is always whole."),
    "group.consumer.assignors": (
        ConfigType.LIST,
        "The assignors of groups of the consumer protocol; the first is the default.",
    ),
    "group.consumer.heartbeat.interval.ms": (
        ConfigType.INT,
        "How often, in ms, members of the consumer protocol send heartbeats.",
    ),
    "group.consumer.max.size": (ConfigType.INT, "How many members a group of the consumer protocol may have."),
    "group.consumer.migration.policy": (
        ConfigType.STRING,
        "Whether a group with members may change between the classic and the consumer protocol; disabled: only an empty one.",
    ),
    "group.consumer.session.timeout.ms": (
        ConfigType.INT,
        "After how many ms without a heartbeat a member of the consumer protocol is removed.",
    ),
    "group.coordinator.rebalance.protocols": (ConfigType.LIST, "The protocols of groups that are supported."),
    "group.initial.rebalance.delay.ms": (
        ConfigType.INT,
        "How long, in ms, the first join of a classic group waits for further members.",
    ),
    "group.max.session.timeout.ms": (
        ConfigType.INT,
        "The longest session timeout, in ms, that a member of a classic group may ask for.",
    ),
    "group.min.session.timeout.ms": (
        ConfigType.INT,
        "The shortest session timeout, in ms, that a member of a classic group may ask for.",
    ),
    "listeners": (ConfigType.STRING, "The address that the broker listens on."),
    "log.cleanup.policy": (ConfigType.LIST, "The default of cleanup.policy of topics."),
    "log.dirs": (ConfigType.STRING, "The folder of the data."),
    "log.message.timestamp.after.max.ms": (ConfigType.LONG, "The default of message.timestamp.after.max.ms of topics."),
    "log.message.timestamp.before.max.ms": (
        ConfigType.LONG,
        "The default of message.timestamp.before.max.ms of topics.",
    ),
    "log.message.timestamp.type": (ConfigType.STRING, "The default of message.timestamp.type of topics."),
    "log.retention.bytes": (ConfigType.LONG, "The default of retention.bytes of topics."),
    "log.retention.ms": (ConfigType.LONG, "The default of retention.ms of topics."),
    "log.segment.bytes": (ConfigType.INT, "The default of segment.bytes of topics."),
    "max.connections": (ConfigType.INT, "Open connections in all."),
    "max.connections.per.ip": (ConfigType.INT, "Open connections of one address."),
    "message.max.bytes": (ConfigType.INT, "The default of max.message.bytes of topics."),
    "min.insync.replicas": (ConfigType.INT, "The default of min.insync.replicas of topics."),
    "node.id": (ConfigType.INT, "The id of this node."),
    "num.partitions": (ConfigType.INT, "Partitions of a topic that is created without a number of them."),
    "offsets.retention.minutes": (ConfigType.INT, "How long the offsets of an empty group are kept."),
    "offsets.topic.replication.factor": (ConfigType.SHORT, "Replicas of the committed offsets."),
    "process.roles": (ConfigType.LIST, "What this process is."),
    "socket.request.max.bytes": (ConfigType.INT, "The largest request, in bytes."),
    "transaction.max.timeout.ms": (
        ConfigType.INT,
        "The longest transaction timeout, in ms, that a producer may ask for.",
    ),
    "transaction.state.log.min.isr": (ConfigType.INT, "How many replicas must have a change of a transaction."),
    "transaction.state.log.replication.factor": (ConfigType.SHORT, "Replicas of the state of transactions."),
}
"""Type and meaning of each."""

GROUP_CONFIGS: dict[str, tuple[ConfigType, str]] = {
    "consumer.heartbeat.interval.ms": (
        ConfigType.INT,
        "How often, in ms, members of the consumer protocol send heartbeats.",
    ),
    "consumer.session.timeout.ms": (
        ConfigType.INT,
        "After how many ms without a heartbeat a member of the consumer protocol is removed.",
    ),
}
"""Of groups of the consumer protocol."""
