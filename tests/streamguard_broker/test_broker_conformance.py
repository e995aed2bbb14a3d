"""What a Kafka client may rely on, checked on this broker and (marker `kafka`) on Apache Kafka.

A test that passes on one only is a difference to be explained in docs/not-implemented.md.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any

import aiokafka
import confluent_kafka
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as Tp
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from tests.streamguard_broker.clients import CLIENTS, Message

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture
def admin(cluster: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster, "log_level": 0})


def create(admin: AdminClient, topic: str, partitions: int = 1, **configs: str) -> None:
    settings = {name.replace("_", "."): value for name, value in configs.items()}
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=settings)]).values():
        future.result(20)


def put(cluster: str, topic: str, values: list[bytes], partition: int = 0, **more: Any) -> None:
    producer = Producer({"bootstrap.servers": cluster})
    for value in values:
        producer.produce(topic, value, partition=partition, **more)
    assert producer.flush(20) == 0


def consumer(cluster: str, group: str, **configs: Any) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "log_level": 0,
            **{name.replace("_", "."): value for name, value in configs.items()},
        }
    )


def take(source: Consumer, count: int, seconds: float = 20) -> list[confluent_kafka.Message]:
    got: list[confluent_kafka.Message] = []
    deadline = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < deadline:
        got += [m for m in source.consume(count - len(got), 0.2) if m.error() is None]
    return got


# Records


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("codec", CODECS)
def test_records_come_back_as_sent(
    cluster: str, admin: AdminClient, topic: str, client: str, codec: str | None
) -> None:
    create(admin, topic)
    sent = [
        Message(b"key", b"value", 1_600_000_000_000),
        Message(None, b"no key", 1_600_000_000_001),
        Message(b"no value", None, 1_600_000_000_002),
        Message("ключ".encode(), b"\x00\xff" * 500, 1_600_000_000_003, [("label", b"x"), ("label", b""), ("ö", b"y")]),
        Message(b"", b"", 1_500_000_000_000),
    ] * 20
    CLIENTS[client].produce(cluster, topic, sent, codec)
    for reader in CLIENTS.values():
        got = reader.consume(cluster, topic, len(sent))
        assert [m.offset for m in got] == list(range(len(sent)))
        assert [(m.key, m.value, m.timestamp_ms, m.headers) for m in got] == [
            (m.key, m.value, m.timestamp_ms, m.headers) for m in sent
        ]


def test_seek_and_offsets_by_time(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    for i in range(10):
        put(cluster, topic, [b"%d" % i], timestamp=1_600_000_000_000 + 10 * i)
    reader = KafkaConsumer(bootstrap_servers=cluster)
    tp = TopicPartition(topic, 0)
    reader.assign([tp])
    assert reader.beginning_offsets([tp]) == {tp: 0}
    assert reader.end_offsets([tp]) == {tp: 10}
    found = reader.offsets_for_times({tp: 1_600_000_000_035})[tp]
    assert (found.offset, found.timestamp) == (4, 1_600_000_000_040)
    assert reader.offsets_for_times({tp: 1_700_000_000_000})[tp] is None
    reader.seek(tp, 7)
    assert next(reader).value == b"7"
    reader.seek_to_beginning(tp)
    assert next(reader).value == b"0"
    reader.close()
    spec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
    latest = admin.list_offsets({Tp(topic, 0): spec})[Tp(topic, 0)].result(10)
    assert (latest.offset, latest.timestamp) == (9, 1_600_000_000_090)


def test_an_offset_out_of_range_is_reset(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    put(cluster, topic, [b"a", b"b"])
    reader = consumer(cluster, topic)
    reader.assign([Tp(topic, 0, 500)])
    assert [m.value() for m in take(reader, 2)] == [b"a", b"b"]
    reader.close()


def test_log_append_time(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    put(cluster, topic, [b"x"], timestamp=5)
    reader = consumer(cluster, topic)
    reader.assign([Tp(topic, 0, 0)])
    kind, stamp = take(reader, 1)[0].timestamp()
    assert kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME
    assert before <= stamp <= int(time.time() * 1000)
    reader.close()


def test_a_record_too_large_is_rejected_until_the_limit_is_raised(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    create(admin, f"{topic}-large", max_message_bytes="6000000")
    errors: list[Any] = []
    producer = Producer({"bootstrap.servers": cluster, "message.max.bytes": 6_000_000})
    for name in (topic, f"{topic}-large"):
        producer.produce(name, b"x" * 5_000_000, on_delivery=lambda error, _: errors.append(error))
        producer.flush(20)
    assert errors[0].code() == confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE
    assert errors[1] is None
    reader = consumer(cluster, topic, fetch_max_bytes=6_100_000, message_max_bytes=6_100_000)
    reader.assign([Tp(f"{topic}-large", 0, 0)])
    assert len(take(reader, 1)[0].value() or b"") == 5_000_000
    reader.close()


def test_acks_0_and_1(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    for acks in ("0", "1"):
        producer = Producer({"bootstrap.servers": cluster, "acks": acks})
        producer.produce(topic, acks.encode())
        assert producer.flush(10) == 0
    reader = consumer(cluster, topic)
    reader.assign([Tp(topic, 0, 0)])
    assert sorted(m.value() or b"" for m in take(reader, 2)) == [b"0", b"1"]
    reader.close()


def test_a_waiting_fetch_returns_as_soon_as_there_are_records(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    reader = consumer(cluster, topic, fetch_wait_max_ms=5000)
    reader.assign([Tp(topic, 0, 0)])
    assert take(reader, 1, 0.5) == []
    timer = threading.Timer(0.5, put, (cluster, topic, [b"now"]))
    timer.start()
    started = time.monotonic()
    assert take(reader, 1)[0].value() == b"now"
    assert time.monotonic() - started < 2
    timer.join()
    reader.close()


# Groups


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_partitions_move_as_members_join_and_leave(cluster: str, admin: AdminClient, topic: str, strategy: str) -> None:
    create(admin, topic, 4)
    members = [consumer(cluster, topic, partition_assignment_strategy=strategy) for _ in range(3)]
    for member in members:
        member.subscribe([topic])

    def balanced(living: list[Consumer], most: int) -> bool:
        held = [[p.partition for p in member.assignment()] for member in living]
        return sorted(p for partitions in held for p in partitions) == [0, 1, 2, 3] and max(map(len, held)) <= most

    def settle(living: list[Consumer], most: int) -> None:
        deadline = time.monotonic() + 30
        while not balanced(living, most):
            assert time.monotonic() < deadline, [m.assignment() for m in living]
            for member in living:
                member.poll(0.05)

    settle(members, 2)
    members.pop().close()
    settle(members, 2)
    members.pop().close()
    settle(members, 4)
    members.pop().close()


_MEMBER = """
import sys
from kafka import KafkaConsumer
consumer = KafkaConsumer(
    sys.argv[2], bootstrap_servers=sys.argv[1], group_id=sys.argv[2], session_timeout_ms=1500, heartbeat_interval_ms=300,
    auto_offset_reset="earliest", enable_auto_commit=False
)
assert consumer.poll(20_000)
print("joined", flush=True)
while True:
    consumer.poll(100)
"""


def test_the_session_of_a_killed_member_times_out(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 2)
    put(cluster, topic, [b"x"], 0)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _MEMBER, cluster, topic], stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        try:
            assert killed.stdout.readline() == b"joined\n"
        finally:
            killed.kill()
    living = consumer(cluster, topic)
    living.subscribe([topic])
    assert take(living, 1)[0].value() == b"x"
    assert sorted(p.partition for p in living.assignment()) == [0, 1]
    living.close()


def test_static_members_keep_their_partitions(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 2)
    put(cluster, topic, [b"0"], 0)
    put(cluster, topic, [b"1"], 1)
    first = consumer(cluster, topic, group_instance_id="one")
    first.subscribe([topic])
    assert len(take(first, 2)) == 2
    described = admin.describe_consumer_groups([topic])[topic].result(10)
    assert [m.group_instance_id for m in described.members] == ["one"]
    first.close()
    again = consumer(cluster, topic, group_instance_id="one")
    again.subscribe([topic])
    assert len(take(again, 2)) == 2
    again.close()


def test_commits_are_kept_and_shown(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 2)
    put(cluster, topic, [b"a", b"b", b"c"], 1)
    reader = consumer(cluster, topic)
    reader.subscribe([topic])
    take(reader, 3)
    reader.commit(offsets=[Tp(topic, 1, 2, "note")], asynchronous=False)
    assert [(p.offset, p.metadata) for p in reader.committed([Tp(topic, 1)], 10)] == [(2, "note")]
    assert admin.describe_consumer_groups([topic])[topic].result(10).state.name == "STABLE"
    reader.close()
    python = KafkaAdminClient(bootstrap_servers=cluster)
    assert python.list_group_offsets({topic: None})[topic][TopicPartition(topic, 1)].offset == 2
    assert topic in [group["group_id"] for group in python.list_groups()]
    python.close()
    admin.delete_consumer_groups([topic])[topic].result(10)
    with pytest.raises(KafkaException):
        admin.delete_consumer_groups([topic])[topic].result(10)


def test_a_commit_without_membership_is_rejected(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 1)
    first = consumer(cluster, topic)
    first.subscribe([topic])
    put(cluster, topic, [b"x"])
    take(first, 1)
    outsider = consumer(cluster, topic)
    outsider.assign([Tp(topic, 0, 0)])
    with pytest.raises(KafkaException) as refused:
        outsider.commit(offsets=[Tp(topic, 0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == confluent_kafka.KafkaError.UNKNOWN_MEMBER_ID
    first.close()
    outsider.close()


# Admin


def test_topics_are_created_grown_and_deleted(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 2, retention_ms="60000")
    with pytest.raises(KafkaException) as exists:
        create(admin, topic)
    assert exists.value.args[0].code() == confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(10)
    with pytest.raises(KafkaException) as fewer:
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    assert fewer.value.args[0].code() == confluent_kafka.KafkaError.INVALID_PARTITIONS
    deadline = time.monotonic() + 10
    while len(admin.list_topics(topic).topics[topic].partitions) != 5:
        assert time.monotonic() < deadline
    admin.delete_topics([topic])[topic].result(10)
    while topic in admin.list_topics().topics:
        assert time.monotonic() < deadline
    with pytest.raises(KafkaException) as gone:
        admin.delete_topics([topic])[topic].result(10)
    assert gone.value.args[0].code() == confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART


@pytest.mark.parametrize(
    ("name", "partitions", "replicas", "configs", "code"),
    [
        ("bad name", 1, 1, {}, "TOPIC_EXCEPTION"),
        ("..", 1, 1, {}, "TOPIC_EXCEPTION"),
        ("x" * 250, 1, 1, {}, "TOPIC_EXCEPTION"),
        ("good", 0, 1, {}, "INVALID_PARTITIONS"),
        ("good", 1, 3, {}, "INVALID_REPLICATION_FACTOR"),
        ("good", 1, 1, {"no.such.config": "1"}, "INVALID_CONFIG"),
        ("good", 1, 1, {"retention.ms": "soon"}, "INVALID_CONFIG"),
        ("good", 1, 1, {"cleanup.policy": "keep"}, "INVALID_CONFIG"),
    ],
)
def test_invalid_topics_are_rejected(
    admin: AdminClient, name: str, partitions: int, replicas: int, configs: dict[str, str], code: str
) -> None:
    with pytest.raises((KafkaException, ValueError)) as refused:
        admin.create_topics([NewTopic(name, partitions, replicas, config=configs)])[name].result(10)
    if isinstance(refused.value, KafkaException):
        assert refused.value.args[0].name() == code


def test_configs_are_described_and_altered(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, retention_ms="60000")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)

    def described() -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while True:
            try:
                found: dict[str, Any] = admin.describe_configs([resource])[resource].result(10)
            except KafkaException as error:
                # Kafka answers the creation before every part of it knows of the topic.
                if (
                    error.args[0].code() != confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART
                    or time.monotonic() > deadline
                ):
                    raise
                continue
            return found

    def wait_for(name: str, value: str) -> None:
        deadline = time.monotonic() + 10
        while described()[name].value != value:
            assert time.monotonic() < deadline

    assert described()["retention.ms"].value == "60000"
    assert described()["cleanup.policy"].value == "delete"
    assert described()["cleanup.policy"].is_default
    change = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
        ],
    )
    admin.incremental_alter_configs([change])[change].result(10)
    wait_for("cleanup.policy", "delete,compact")
    wait_for("retention.ms", "604800000")


def test_records_are_deleted(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)
    put(cluster, topic, [b"%d" % i for i in range(10)])
    result = admin.delete_records([Tp(topic, 0, 6)])[Tp(topic, 0)].result(10)
    assert result.low_watermark == 6
    reader = consumer(cluster, topic)
    reader.assign([Tp(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    assert [m.value() for m in take(reader, 4)] == [b"6", b"7", b"8", b"9"]
    with pytest.raises(KafkaException):
        admin.delete_records([Tp(topic, 0, 60)])[Tp(topic, 0)].result(10)
    reader.close()


def test_the_cluster_is_described(cluster: str, admin: AdminClient) -> None:
    described = admin.describe_cluster().result(10)
    assert len(described.nodes) == 1
    assert described.cluster_id
    assert f"{described.nodes[0].host}:{described.nodes[0].port}" == cluster


def test_a_topic_is_created_on_first_use_if_the_client_allows(cluster: str, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=cluster, acks="all")
    assert producer.send(topic, b"first").get(20).offset == 0
    producer.close()


def test_a_missing_topic_is_not_created_if_the_client_forbids_it(cluster: str, topic: str) -> None:
    reader = KafkaConsumer(bootstrap_servers=cluster, allow_auto_create_topics=False)
    assert reader.partitions_for_topic(topic) in (None, set())
    assert topic not in reader.topics()
    reader.close()


# Idempotence and transactions


def test_transactions_with_aiokafka(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic)

    async def run() -> None:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=cluster, transactional_id=topic)
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        try:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"dropped", partition=0)
                raise RuntimeError("abort")
        except RuntimeError:
            pass
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept too", partition=0)
        await producer.stop()

    asyncio.run(run())
    reader = consumer(cluster, topic, isolation_level="read_committed")
    reader.assign([Tp(topic, 0, 0)])
    assert [m.value() for m in take(reader, 2)] == [b"kept", b"kept too"]
    reader.close()


def test_a_transaction_over_partitions_and_offsets(cluster: str, admin: AdminClient, topic: str) -> None:
    create(admin, topic, 2)
    put(cluster, topic, [b"in"], 0)
    reader = consumer(cluster, topic)
    reader.subscribe([topic])
    take(reader, 1)
    producer = Producer({"bootstrap.servers": cluster, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(20)
    for commit in (False, True):
        producer.begin_transaction()
        producer.produce(topic, b"out %d" % commit, partition=1)
        position = [p for p in reader.position(reader.assignment()) if p.partition == 0]
        producer.send_offsets_to_transaction(position, reader.consumer_group_metadata(), 20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    assert reader.committed([Tp(topic, 0)], 10)[0].offset == 1
    reader.close()
    check = consumer(cluster, f"{topic}-check", isolation_level="read_committed")
    check.assign([Tp(topic, 1, 0)])
    assert [m.value() for m in take(check, 1)] == [b"out 1"]
    check.close()


def test_an_old_producer_is_fenced(cluster: str, topic: str, admin: AdminClient) -> None:
    create(admin, topic)
    old = KafkaProducer(bootstrap_servers=cluster, transactional_id=topic)
    old.init_transactions()
    old.begin_transaction()
    old.send(topic, b"old").get(10)
    new = KafkaProducer(bootstrap_servers=cluster, transactional_id=topic)
    new.init_transactions()
    with pytest.raises(KafkaError):
        old.send(topic, b"after fencing").get(10)
        old.commit_transaction()
    new.begin_transaction()
    new.send(topic, b"new").get(10)
    new.commit_transaction()
    new.close()
    old.close()
    reader = consumer(cluster, topic, isolation_level="read_committed")
    reader.assign([Tp(topic, 0, 0)])
    assert [m.value() for m in take(reader, 1)] == [b"new"]
    reader.close()
