"""Answers that clients do not show whole, read from the wire, on this broker and (marker `kafka`) on Apache Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.protocol.admin import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from kafka.protocol.consumer import JoinGroupRequest, JoinGroupResponse
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest, ProduceResponse

from streamguard_broker.errors import ErrorCode
from streamguard_broker.storage.batch import LOG_APPEND_TIME, frame_batch
from streamguard_broker.storage.codecs import compress
from streamguard_broker.storage.records import encode_record
from tests.support.broker import BrokerProcess
from tests.support.wire import WireClient

HOUR_MS = 3_600_000
GZIP = 1
SECONDS = 60.0
NOT_YET = (3, 6)
"""UNKNOWN_TOPIC_OR_PARTITION and NOT_LEADER_OR_FOLLOWER, of a topic that Kafka has just created."""
CODECS = [0, GZIP]


@pytest.fixture
def wire(cluster: str) -> Iterator[WireClient]:
    with WireClient(cluster) as client:
        yield client


def create(wire: WireClient, topic: str, partitions: int = -1, *assignments: list[int], **configs: str) -> ErrorCode:
    """CreateTopics of one topic; with assignments, `partitions` is -1."""
    topic_class = CreateTopicsRequest.CreatableTopic
    settings = {name.replace("_", "."): value for name, value in configs.items()}
    wanted = topic_class(
        name=topic,
        num_partitions=partitions,
        replication_factor=-1,
        assignments=[
            topic_class.CreatableReplicaAssignment(partition_index=index, broker_ids=brokers)
            for index, brokers in enumerate(assignments)
        ],
        configs=[topic_class.CreatableTopicConfig(name=name, value=value) for name, value in settings.items()],
    )
    request = CreateTopicsRequest(topics=[wanted], timeout_ms=20_000, validate_only=False)
    code = ErrorCode(wire.ask(request, CreateTopicsResponse, version=7).topics[0].error_code)
    deadline = time.monotonic() + SECONDS
    while code is ErrorCode.NONE and not is_known(wire, topic):
        assert time.monotonic() < deadline
    return code


def is_known(wire: WireClient, topic: str) -> bool:
    """Whether the topic is known: Kafka answers a creation before it is everywhere."""
    request = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
    )
    found = wire.ask(request, MetadataResponse, version=7).topics[0]
    return found.error_code == 0 and all(p.error_code == 0 for p in found.partitions)


def this_node(wire: WireClient) -> int:
    return int(wire.ask(MetadataRequest(topics=[]), MetadataResponse, version=7).brokers[0].node_id)


# Session timeouts


def join_error(wire: WireClient, group: str, session_timeout_ms: int) -> ErrorCode:
    request = JoinGroupRequest(
        group_id=group,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=1000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    return ErrorCode(wire.ask(request, JoinGroupResponse, version=5).error_code)


@pytest.mark.parametrize("session_timeout_ms", [0, 99, 1_800_001])
def test_session_timeouts_out_of_bounds_are_rejected(wire: WireClient, topic: str, session_timeout_ms: int) -> None:
    assert join_error(wire, topic, session_timeout_ms) is ErrorCode.INVALID_SESSION_TIMEOUT


def test_the_bounds_of_session_timeouts_are_kafkas_unless_options_say_otherwise(
    shared_broker: BrokerProcess, topic: str
) -> None:
    with WireClient(shared_broker.address) as wire:
        for session_timeout_ms in (5_999, 1_800_001):
            assert join_error(wire, topic, session_timeout_ms) is ErrorCode.INVALID_SESSION_TIMEOUT
        for session_timeout_ms in (6_000, 1_800_000):
            assert join_error(wire, topic, session_timeout_ms) is ErrorCode.MEMBER_ID_REQUIRED
        node = {config.name: config.value for config in describe(wire, 4, str(this_node(wire))).configs}
    assert (node["group.min.session.timeout.ms"], node["group.max.session.timeout.ms"]) == ("6000", "1800000")


# Record errors (KIP-467)


def batch(keys: list[bytes | None], deltas_ms: list[int], codec: int, *, attributes: int = 0, now_ms: int = 0) -> bytes:
    """A batch of records with these keys, at these times relative to now."""
    now_ms = now_ms or int(time.time() * 1000)
    encoded = [
        encode_record(i, delta - deltas_ms[0], key, b"v")
        for i, (key, delta) in enumerate(zip(keys, deltas_ms, strict=True))
    ]
    return bytes(
        frame_batch(
            [compress(b"".join(encoded), codec)] if codec else encoded,
            last_offset_delta=len(keys) - 1,
            base_timestamp=now_ms + deltas_ms[0],
            max_timestamp=now_ms + max(deltas_ms),
            attributes=attributes | codec,
            record_count=len(keys),
        )
    )


def produce(wire: WireClient, topic: str, records: bytes, version: int = 9) -> Any:
    topic_class = ProduceRequest.TopicProduceData
    data = topic_class(name=topic, partition_data=[topic_class.PartitionProduceData(index=0, records=records)])
    request = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=20_000, topic_data=[data])
    deadline = time.monotonic() + SECONDS
    while True:
        answer = wire.ask(request, ProduceResponse, version=version).responses[0].partition_responses[0]
        if answer.error_code not in NOT_YET or time.monotonic() > deadline:
            return answer


def bad_records(answer: Any) -> list[int]:
    assert all(error.batch_index_error_message for error in answer.record_errors)
    return [error.batch_index for error in answer.record_errors]


@pytest.mark.parametrize("codec", CODECS)
def test_records_without_a_key_are_named(wire: WireClient, topic: str, codec: int) -> None:
    create(wire, topic, 1, cleanup_policy="compact")
    records = batch([b"k", None, b"k", None], [0, 0, 0, 0], codec)
    answer = produce(wire, topic, records)
    assert (ErrorCode(answer.error_code), answer.base_offset) == (ErrorCode.INVALID_RECORD, -1)
    assert bad_records(answer) == [1, 3] and answer.error_message and answer.log_start_offset == 0
    older = produce(wire, topic, records, version=7)
    assert ErrorCode(older.error_code) is ErrorCode.INVALID_RECORD
    assert produce(wire, topic, batch([b"k"], [0], codec)).base_offset == 0, "nothing of a rejected batch is stored"


@pytest.mark.parametrize("codec", CODECS)
def test_records_with_a_time_out_of_range_are_named(wire: WireClient, topic: str, codec: int) -> None:
    create(wire, topic, 1, message_timestamp_before_max_ms=str(HOUR_MS))
    for deltas, bad in (
        ([-2 * HOUR_MS, 0, -3 * HOUR_MS], [0, 2]),
        ([0, 2 * HOUR_MS, 0], [1]),
        ([0, 2 * HOUR_MS, -2 * HOUR_MS], [1, 2]),
        ([0, HOUR_MS // 2, -HOUR_MS // 2], []),
    ):
        answer = produce(wire, topic, batch([None] * 3, deltas, codec))
        assert bad_records(answer) == bad
        assert ErrorCode(answer.error_code) is (ErrorCode.INVALID_TIMESTAMP if bad else ErrorCode.NONE)
        assert bool(answer.error_message) == bool(bad)
        assert answer.base_offset == (-1 if bad else 0)


def test_records_of_any_age_are_accepted_by_default(wire: WireClient, topic: str) -> None:
    create(wire, topic, 1)
    assert produce(wire, topic, batch([None] * 2, [0, 0], 0, now_ms=1)).error_code == 0


@pytest.mark.parametrize("codec", CODECS)
def test_with_log_append_time_the_time_is_the_brokers_to_set(wire: WireClient, topic: str, codec: int) -> None:
    create(wire, topic, 1, message_timestamp_type="LogAppendTime")
    answer = produce(wire, topic, batch([None], [0], codec, attributes=LOG_APPEND_TIME))
    assert ErrorCode(answer.error_code) is ErrorCode.INVALID_TIMESTAMP and bad_records(answer) == [0]
    assert produce(wire, topic, batch([None], [9 * HOUR_MS], codec)).error_code == 0


def test_a_producer_id_needs_a_sequence(wire: WireClient, topic: str) -> None:
    create(wire, topic, 1)
    records = frame_batch(
        [encode_record(0, 0, None, b"v")], last_offset_delta=0, base_timestamp=1, max_timestamp=1,
        producer_id=5, producer_epoch=0, base_sequence=-1,
    )  # fmt: skip
    assert ErrorCode(produce(wire, topic, bytes(records)).error_code) is ErrorCode.INVALID_RECORD


# Assignments


def test_assignments_name_known_brokers_once_for_each_partition(wire: WireClient, topic: str) -> None:
    me = this_node(wire)
    rejected: list[list[list[int]]] = [[[99]], [[me, 99]], [[me, me]], [[]], [[me], []], [[-1]]]
    for index, assignments in enumerate(rejected):
        assert create(wire, f"{topic}-{index}", -1, *assignments) is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert create(wire, topic, 2, [me], [me]) is ErrorCode.INVALID_REQUEST
    assert create(wire, topic, -1, [me], [me]) is ErrorCode.NONE


def grow(wire: WireClient, topic: str, count: int, assignments: list[list[int]] | None, *, dry: bool) -> ErrorCode:
    topic_class = CreatePartitionsRequest.CreatePartitionsTopic
    given = (
        None
        if assignments is None
        else [topic_class.CreatePartitionsAssignment(broker_ids=brokers) for brokers in assignments]
    )
    request = CreatePartitionsRequest(
        topics=[topic_class(name=topic, count=count, assignments=given)], timeout_ms=20_000, validate_only=dry
    )
    answer = wire.ask(request, CreatePartitionsResponse, version=3).results[0]
    assert (answer.error_code == 0) == (answer.error_message is None)
    return ErrorCode(answer.error_code)


@pytest.mark.parametrize("dry", [True, False])
def test_added_partitions_are_assigned_to_known_brokers(wire: WireClient, topic: str, dry: bool) -> None:
    create(wire, topic, 2)
    me = this_node(wire)
    rejected: list[list[list[int]]] = [[[99]], [[me], [me]], [[me, me]], [[]], [], [[me, 99]]]
    for assignments in rejected:
        assert grow(wire, topic, 3, assignments, dry=dry) is ErrorCode.INVALID_REPLICA_ASSIGNMENT, assignments
    assert grow(wire, topic, 4, [[me]], dry=dry) is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    for count in (2, 1, 0, -1):
        assert grow(wire, topic, count, None, dry=dry) is ErrorCode.INVALID_PARTITIONS
    assert grow(wire, topic, 2, [[me]], dry=dry) is ErrorCode.INVALID_PARTITIONS
    assert grow(wire, topic, 3, [[me]], dry=dry) is ErrorCode.NONE


def test_a_topic_that_is_named_twice_does_not_grow(wire: WireClient, topic: str) -> None:
    create(wire, topic, 1)
    twice = [CreatePartitionsRequest.CreatePartitionsTopic(name=topic, count=3, assignments=None)] * 2
    request = CreatePartitionsRequest(topics=twice, timeout_ms=20_000, validate_only=False)
    results = wire.ask(request, CreatePartitionsResponse, version=3).results
    assert [ErrorCode(result.error_code) for result in results] == [ErrorCode.INVALID_REQUEST]


# Settings


def describe(wire: WireClient, kind: int, name: str, **included: bool) -> Any:
    resource = DescribeConfigsRequest.DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=None
    )
    request = DescribeConfigsRequest(resources=[resource], **included)
    deadline = time.monotonic() + SECONDS
    while True:
        answer = wire.ask(request, DescribeConfigsResponse, version=4).results[0]
        if answer.error_code not in NOT_YET or time.monotonic() > deadline:
            return answer


KAFKA_4_TOPIC_CONFIGS = {
    "cleanup.policy": ("delete", 7),
    "compression.gzip.level": ("-1", 3),
    "compression.lz4.level": ("9", 3),
    "compression.type": ("producer", 2),
    "compression.zstd.level": ("3", 3),
    "delete.retention.ms": ("86400000", 5),
    "file.delete.delay.ms": ("60000", 5),
    "flush.messages": ("9223372036854775807", 5),
    "flush.ms": ("9223372036854775807", 5),
    "follower.replication.throttled.replicas": ("", 7),
    "index.interval.bytes": ("4096", 3),
    "leader.replication.throttled.replicas": ("", 7),
    "local.retention.bytes": ("-2", 5),
    "local.retention.ms": ("-2", 5),
    "max.compaction.lag.ms": ("9223372036854775807", 5),
    "max.message.bytes": ("1048588", 3),
    "message.timestamp.after.max.ms": ("3600000", 5),
    "message.timestamp.before.max.ms": ("9223372036854775807", 5),
    "message.timestamp.type": ("CreateTime", 2),
    "min.cleanable.dirty.ratio": ("0.5", 6),
    "min.compaction.lag.ms": ("0", 5),
    "min.insync.replicas": ("1", 3),
    "preallocate": ("false", 1),
    "remote.log.copy.disable": ("false", 1),
    "remote.log.delete.on.disable": ("false", 1),
    "remote.storage.enable": ("false", 1),
    "retention.bytes": ("-1", 5),
    "segment.index.bytes": ("10485760", 3),
    "segment.jitter.ms": ("0", 5),
    "segment.ms": ("604800000", 5),
    "unclean.leader.election.enable": ("false", 1),
}
"""Default and type; without `segment.bytes`, which is smaller here, and `retention.ms`, which the test sets."""


def test_the_settings_of_a_topic_are_those_of_kafka(wire: WireClient, topic: str) -> None:
    create(wire, topic, 1, retention_ms="5000")
    plain = describe(wire, 2, topic).configs
    found = {config.name: (config.value, config.config_type) for config in plain}
    assert found.pop("retention.ms") == ("5000", 5) and found.pop("segment.bytes")[1] == 3
    assert found == KAFKA_4_TOPIC_CONFIGS
    assert all(not config.synonyms and config.documentation is None for config in plain)
    assert all(not config.read_only and not config.is_sensitive for config in plain)


def test_synonyms_and_documentation_are_given_when_they_are_asked_for(wire: WireClient, topic: str) -> None:
    create(wire, topic, 1, cleanup_policy="compact")
    configs = describe(wire, 2, topic, include_synonyms=True, include_documentation=True).configs
    assert all(config.documentation for config in configs)
    synonyms = {config.name: [(s.name, s.value, s.source) for s in config.synonyms] for config in configs}
    assert synonyms["cleanup.policy"] == [("cleanup.policy", "compact", 1), ("log.cleanup.policy", "delete", 5)]
    assert synonyms["max.message.bytes"] == [("message.max.bytes", "1048588", 5)]
    assert synonyms["segment.ms"] == []
    node = describe(wire, 4, str(this_node(wire)), include_synonyms=True, include_documentation=True).configs
    types = {config.name: config.config_type for config in node}
    assert (types["num.partitions"], types["auto.create.topics.enable"], types["log.cleanup.policy"]) == (3, 1, 7)
    assert all(config.documentation and config.synonyms for config in node if config.name == "num.partitions")


def test_resources_without_settings_are_told_from_unknown_ones(wire: WireClient, topic: str) -> None:
    assert {c.name for c in describe(wire, 32, topic).configs} >= {
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
    }
    for kind, name in ((32, ""), (3, "x"), (0, ""), (4, "77"), (4, "x")):
        assert ErrorCode(describe(wire, kind, name).error_code) is ErrorCode.INVALID_REQUEST, (kind, name)


# Log folders


def test_a_partition_is_moved_to_the_only_folder_there_is(wire: WireClient) -> None:
    topic = f"topic-{uuid.uuid4().hex[:8]}"
    create(wire, topic, 1)
    partitions = [DescribeLogDirsRequest.DescribableLogDirTopic(topic=topic, partitions=[0, 9])]
    request = DescribeLogDirsRequest(topics=partitions)
    deadline = time.monotonic() + SECONDS
    while not (described := wire.ask(request, DescribeLogDirsResponse, version=4).results)[0].topics:
        assert time.monotonic() < deadline, "Kafka makes the log after it has answered the creation"
    assert [(t.name, [p.partition_index for p in t.partitions]) for t in described[0].topics] == [(topic, [0])]
    dir_class = AlterReplicaLogDirsRequest.AlterReplicaLogDir

    def move(path: str, name: str, index: int) -> ErrorCode:
        topics = [dir_class.AlterReplicaLogDirTopic(name=name, partitions=[index])]
        request = AlterReplicaLogDirsRequest(dirs=[dir_class(path=path, topics=topics)])
        answer = wire.ask(request, AlterReplicaLogDirsResponse, version=2).results[0]
        assert answer.topic_name == name
        return ErrorCode(answer.partitions[0].error_code)

    folder = described[0].log_dir
    assert move(folder, topic, 0) is ErrorCode.NONE
    assert move(folder, topic, 9) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert move(folder, f"{topic}-x", 0) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert move("/no/such/folder", topic, 0) is ErrorCode.LOG_DIR_NOT_FOUND
