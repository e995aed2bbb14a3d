"""A topic is looked through in steps that can go on anywhere, and that say what they looked at and could not read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import UserError
from streamguard.kafka.browse import PREVIEW_BYTES, Browser, Contains, NoSuchTopic, Step, cursor_of, cursor_text
from streamguard.kafka.send import send_record
from tests.support.broker import BrokerProcess
from tests.support.damage import corrupt_batch

COUNT = 90
"""Records of the topic: n is in partition n % 3, at offset n // 3, and is written at n seconds."""
ALL = Contains()


@pytest.fixture
def filled(broker: BrokerProcess, topic: str) -> str:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for n in range(COUNT):
        headers = [("trace", f"T-{n}".encode())]
        producer.send(topic, key=f"k{n}".encode(), value=f'{{"n": {n}, "kind": "{"odd" if n % 2 else "even"}"}}'.encode(),
                      partition=n % 3, timestamp_ms=1_000 * n, headers=headers)  # fmt: skip
    producer.flush()
    producer.close()
    return topic


def numbers(step: Step) -> list[int]:
    return [message.offset * 3 + message.partition for message in step.messages]


def steps(browser: Browser, wanted: Contains, limit: int, *, backward: bool) -> Iterator[Step]:
    at: dict[int, int] = {}
    while True:
        step = browser.backward(at, wanted, limit) if backward else browser.forward(at, wanted, limit)
        yield step
        at = step.next
        if not at:
            return


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 50, 500])
@pytest.mark.parametrize("wanted", [ALL, Contains(value="odd")])
def test_a_chain_of_steps_sees_each_record_once(
    broker: BrokerProcess, filled: str, backward: bool, limit: int, wanted: Contains
) -> None:
    expected = [n for n in range(COUNT) if not wanted or n % 2]
    with Browser(broker.address, filled) as browser:
        found = [n for step in steps(browser, wanted, limit, backward=backward) for n in numbers(step)]
    assert found == (expected[::-1] if backward else expected)


def test_a_step_ends_after_so_many_records_and_says_where(broker: BrokerProcess, filled: str) -> None:
    with Browser(broker.address, filled, step_records=10) as browser:
        first = browser.forward({}, Contains(value='"n": 80,'), 5)
        assert (first.messages, first.examined) == ([], 30)
        assert first.looked == {0: (0, 10), 1: (0, 10), 2: (0, 10)}
        last = [*steps(browser, Contains(value='"n": 80,'), 5, backward=False)][-1]
    assert numbers(last) == [80] and not last.next


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Contains(key="K17"), [17]),
        (Contains(header="TRACE: t-4"), [4, *range(40, 50)]),
        (Contains(value="odd", header="T-40"), []),
        (Contains(value="even", key="k40"), [40]),
    ],
)
def test_key_value_and_headers_are_searched(
    broker: BrokerProcess, filled: str, wanted: Contains, found: list[int]
) -> None:
    with Browser(broker.address, filled) as browser:
        assert numbers(browser.forward({}, wanted, 50)) == found
        assert [m.offset * 3 + m.partition for m in browser.every({}, wanted) if not isinstance(m, tuple)] == found


def test_it_begins_at_a_time_or_an_offset_and_reads_one_partition(broker: BrokerProcess, filled: str) -> None:
    with Browser(broker.address, filled, [1]) as browser:
        assert numbers(browser.forward(browser.at_time(70_000), ALL, 50)) == [70, 73, 76, 79, 82, 85, 88]
        assert browser.at_time(10**9) == {1: 30}
        assert numbers(browser.forward({1: 28}, ALL, 50)) == [85, 88]
    with Browser(broker.address, filled) as browser:
        one = browser.one(2, 5)
        assert one is not None and (one.key, one.headers) == (b"k17", (("trace", b"T-17"),))
        assert browser.one(2, 30) is None


def test_only_committed_records_are_seen(broker: BrokerProcess, filled: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, transactional_id=f"tx-{filled}")
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(filled, b"aborted", partition=0).get(timeout=30)
        with Browser(broker.address, filled) as browser:
            assert browser.ends[0] == 30, "an open transaction is not read"
        producer.abort_transaction()
    finally:
        producer.close(timeout=20)
    with Browser(broker.address, filled) as browser:
        assert numbers(browser.backward({}, ALL, 2)) == [89, 88]


def test_lists_have_the_beginning_of_a_large_value_and_one_has_the_whole(broker: BrokerProcess, filled: str) -> None:
    partition, offset = send_record(broker.address, filled, b"large", b"x" * 100_000, [("h", b"1")])
    with Browser(broker.address, filled) as browser:
        [listed] = browser.forward({}, Contains(key="large"), 5).messages
        assert listed.value == b"x" * PREVIEW_BYTES and listed.value_size == 100_000
        whole = browser.one(partition, offset)
    assert whole is not None and whole.value == b"x" * 100_000 and whole.headers == (("h", b"1"),)


def test_what_is_not_there_is_a_sentence(broker: BrokerProcess, filled: str) -> None:
    with pytest.raises(NoSuchTopic, match="there is no topic nothing"):
        Browser(broker.address, "nothing")
    with pytest.raises(NoSuchTopic, match="has no partition 7"):
        Browser(broker.address, filled, [7])
    with pytest.raises(NoSuchTopic, match="there is no topic nothing"):
        send_record(broker.address, "nothing", None, b"x")
    with pytest.raises(NoSuchTopic, match="with a partition 9"):
        send_record(broker.address, filled, None, b"x", partition=9)


def test_a_cursor_goes_through_an_address() -> None:
    assert cursor_of(cursor_text({1: 4, 0: 17})) == {0: 17, 1: 4}
    for words in ("", "0", "0:1,", "x:1", "0:1;1:2", "0:-1"):
        with pytest.raises(UserError, match="no place to go on"):
            cursor_of(words)


def test_a_corrupt_batch_is_said_and_left_out(broker: BrokerProcess, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for n in range(5):
        producer.send(topic, f"{n}".encode()).get(timeout=30)
    producer.close()
    assert broker.stop() == 0
    corrupt_batch(broker.data_dir, topic, 0, 2)
    broker.start()
    for backward in (False, True):
        with Browser(broker.address, topic) as browser:
            step = browser.backward({}, ALL, 50) if backward else browser.forward({}, ALL, 50)
        assert sorted(message.offset for message in step.messages) == [0, 1, 3, 4]
        assert [batch.first for batch in step.skipped.values()] == [2]
