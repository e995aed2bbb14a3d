"""Reading a topic together: every reader is given each record from its own position on once, in order, whatever the others
do: lag, stall, come late, leave, or fail."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime import fetch as fetch_module
from streamguard_ksql.runtime import reader as reader_module
from streamguard_ksql.runtime import scans as scans_module
from streamguard_ksql.runtime.clients import KafkaTopics, Positions
from streamguard_ksql.runtime.corrupt import LostBatch
from streamguard_ksql.runtime.reader import Reader
from streamguard_ksql.runtime.scans import Scan, Scans
from streamguard_ksql.runtime.shared_scan import Limits, Member
from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import consume, produce
from tests.support.ksqldb import eventually

pytestmark = pytest.mark.integration
TOPIC, PARTITIONS, RECORDS = "together", 3, 15_000
NAMES = "names"
LOW_LIMITS = Limits(behind=600, stall_s=0.03, rewind=4_000)
"""So low that a small topic meets all of them."""


@pytest.fixture
def topics(servers: str) -> KafkaTopics:
    """A topic with RECORDS numbered records, spread over its partitions."""
    topics = KafkaTopics(servers)
    topics.create(TOPIC, PARTITIONS, {})
    producer = clients.producer(servers)
    for number in range(RECORDS):
        producer.produce(TOPIC, key=str(number % 1000).encode(), value=str(number).encode())
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return topics


@pytest.fixture
def scans(servers: str) -> Iterator[Scans]:
    found = Scans(servers, LOW_LIMITS)
    yield found
    found.close()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches so small that a small topic has many."""
    monkeypatch.setattr(fetch_module, "BATCH", 300)


def unexpected(batch: LostBatch) -> None:
    raise AssertionError(batch)


class OneReader(threading.Thread):
    """A query as far as reading goes: starts somewhere, lags, leaves and comes back at times, and records what it was given."""

    names: int | None = None
    """With a second topic, of a table, that it reads by itself: how many records that has."""

    def __init__(self, servers: str, topics: KafkaTopics, scans: Scans, seed: int) -> None:
        super().__init__()
        self.servers, self.topics, self.scans = servers, topics, scans
        self.draw = random.Random(seed)
        self.ends = topics.offsets(clients.as_partitions({TOPIC: dict.fromkeys(range(PARTITIONS), 0)}))[1]
        self.start_at = {
            p: self.draw.choice([0, self.draw.randrange(self.ends[(TOPIC, p)])]) for p in range(PARTITIONS)
        }
        self.given: dict[int, list[int]] = {p: [] for p in range(PARTITIONS)}
        self.given_names: list[int] = []
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._is_done():
                self._read_for_a_while()
        except BaseException as error:
            self.failed = error

    def _positions(self) -> dict[int, int]:
        return {p: offsets[-1] + 1 if offsets else self.start_at[p] for p, offsets in self.given.items()}

    def _is_done(self) -> bool:
        has_names = self.names is None or len(self.given_names) == self.names
        return has_names and all(at >= self.ends[(TOPIC, p)] for p, at in self._positions().items())

    def _read_for_a_while(self) -> None:
        known: Positions = {TOPIC: self._positions()}
        partitions = {TOPIC: PARTITIONS}
        if self.names is not None:
            partitions[NAMES] = 1
            known[NAMES] = {0: len(self.given_names)}

        def connect() -> Consumer:
            return clients.consumer(self.servers, f"reader-{id(self)}")

        reader = Reader(
            connect,
            self.topics,
            {topic: range(count) for topic, count in partitions.items()},
            known,
            from_beginning=partitions,
            scans=self.scans,
            together=TOPIC,
            lost=unexpected,
        )
        try:
            for _ in range(self.draw.choice([5, 40, 10_000])):
                for partition, records in reader.poll(0.1):
                    given = self.given_names if records[0].topic == NAMES else self.given[partition]
                    given += [record.offset for record in records]
                if self._is_done():
                    return
                if self.draw.random() < 0.002:
                    reader.rest()
                if self.draw.random() < 0.05:
                    time.sleep(self.draw.choice([0.001, 0.01, 0.1]))
        except KafkaException:
            return
        finally:
            reader.close()


def _read_all(readers: list[OneReader]) -> None:
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(120)
        assert reader.failed is None, reader.failed
        for partition, offsets in reader.given.items():
            end = reader.ends[(TOPIC, partition)]
            assert offsets == list(range(reader.start_at[partition], end)), f"partition {partition}"
        assert reader.given_names == list(range(reader.names or 0))


@pytest.mark.parametrize("seed", range(3))
def test_readers_that_lag_leave_and_come_back(
    small_batches: None, servers: str, topics: KafkaTopics, scans: Scans, seed: int
) -> None:
    _read_all([OneReader(servers, topics, scans, 100 * seed + number) for number in range(5)])


def test_readers_of_another_topic_beside_it(
    small_batches: None,
    servers: str,
    topics: KafkaTopics,
    scans: Scans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As joins with a table read; so little may wait for the other topic that they leave what is read together, too."""
    monkeypatch.setattr(reader_module, "MOST_HELD", 400)
    topics.create(NAMES, 1, {})
    produce(servers, NAMES, [(f"k{n}", {"N": n}) for n in range(500)], [1_000 * n for n in range(500)])
    readers = [OneReader(servers, topics, scans, number) for number in range(4)]
    for reader in readers[:3]:
        reader.names = 500
    _read_all(readers)


def test_joins_with_tables_fetch_their_stream_once(servers: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    engine.sql(
        """
        CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=3);
        CREATE TABLE names (k VARCHAR PRIMARY KEY, n BIGINT) WITH (KAFKA_TOPIC='names', VALUE_FORMAT='JSON', PARTITIONS=3);
        CREATE STREAM small WITH (KAFKA_TOPIC='small') AS SELECT * FROM s WHERE v < 50;
        CREATE STREAM named WITH (KAFKA_TOPIC='named') AS SELECT s.k AS k, v, n FROM s JOIN names ON s.k = names.k;
        CREATE STREAM maybe WITH (KAFKA_TOPIC='maybe') AS SELECT s.k AS k, v, n FROM s LEFT JOIN names ON s.k = names.k;
        """
    )
    produce(servers, NAMES, [(f"k{n}", {"N": n}) for n in range(5)], [500] * 5)
    engine.settle()
    together: list[str] = []
    alone: list[str] = []

    def counting(found: list[str]) -> Callable[[Consumer, str, float], fetch_module.Fetched]:
        def fetch(client: Consumer, servers: str, timeout_s: float) -> fetch_module.Fetched:
            fetched = fetch_module.fetch(client, servers, timeout_s)
            found.extend(record.topic for batch in fetched.batches for record in batch)
            return fetched

        return fetch

    monkeypatch.setattr(scans_module, "fetch", counting(together))
    monkeypatch.setattr(reader_module, "fetch", counting(alone))
    # Another one, so that what was being fetched as the counting began has ended.
    produce(servers, "given", [("k1", {"V": 1})], [1_000])
    engine.settle()
    together.clear()
    alone.clear()
    produce(servers, "given", [(f"k{v % 10}", {"V": v}) for v in range(100)], [1_000 + v for v in range(100)])
    engine.settle()
    assert together == ["given"] * 100
    assert alone == []
    assert len(consume(servers, "named")) == 51
    assert len(consume(servers, "maybe")) == 101


def test_a_failed_read_costs_nobody_a_record(
    small_batches: None, servers: str, topics: KafkaTopics, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(7)
    failures: list[int] = []

    def failing(client: Consumer, servers: str, timeout_s: float) -> fetch_module.Fetched:
        found = fetch_module.fetch(client, servers, timeout_s)
        if len(found) and draw.random() < 0.05:
            # What was fetched is lost with it, as where one partition of several answers with an error.
            failures.append(len(found))
            raise KafkaException(KafkaError(KafkaError._FAIL))
        return found

    monkeypatch.setattr(scans_module, "fetch", failing)
    readers = [OneReader(servers, topics, scans, number) for number in range(4)]
    _read_all(readers)
    assert failures


def test_two_queries_fetch_and_decode_once(servers: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    engine.sql(
        """
        CREATE STREAM s (k VARCHAR KEY, v BIGINT, w VARCHAR) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=3);
        CREATE STREAM small WITH (KAFKA_TOPIC='small') AS SELECT * FROM s WHERE v < 50;
        CREATE TABLE totals WITH (KAFKA_TOPIC='totals') AS SELECT k, SUM(v) AS total FROM s GROUP BY k;
        """
    )
    engine.settle()
    fetched: list[int] = []

    def counting(client: Consumer, servers: str, timeout_s: float) -> fetch_module.Fetched:
        found = fetch_module.fetch(client, servers, timeout_s)
        fetched.append(len(found))
        return found

    monkeypatch.setattr(scans_module, "fetch", counting)
    eventually(lambda: fetched)  # the fetch that was under way, and is not counted, has ended
    produce(servers, "given", [(f"k{v % 10}", {"V": v, "W": "x"}) for v in range(100)], [1_000 + v for v in range(100)])
    engine.settle()
    assert sum(fetched) == 100
    assert len(engine.pull("SELECT * FROM totals;")) == 10
    engine.sql("PAUSE ALL;")
    produce(servers, "given", [("k1", {"V": 1000, "W": "x"})], [2_000])
    engine.sql("RESUME ALL;")
    engine.settle()
    assert engine.pull("SELECT total FROM totals WHERE k = 'k1';") == [[1460]]


def test_a_query_from_the_beginning_catches_up_alone(
    small_batches: None, servers: str, topics: KafkaTopics, scans: Scans
) -> None:
    """The others, at the end of the topic, are not pulled back for it."""
    ahead, behind = (OneReader(servers, topics, scans, seed) for seed in (1, 2))
    ahead.start_at = {p: ahead.ends[(TOPIC, p)] for p in range(PARTITIONS)}
    behind.start_at = dict.fromkeys(range(PARTITIONS), 0)

    def connect() -> Consumer:
        return clients.consumer(servers, "ahead")

    reader = Reader(
        connect,
        topics,
        {TOPIC: range(PARTITIONS)},
        {TOPIC: ahead.start_at},
        from_beginning={TOPIC},
        scans=scans,
        lost=unexpected,
    )
    assert reader.poll(0.01) == []
    behind.start()
    while behind.is_alive():
        assert reader.poll(0.01) == []
    assert reader.positions == {TOPIC: ahead.start_at}
    reader.close()
    _read_all([])
    assert [len(offsets) for offsets in behind.given.values()] == [behind.ends[(TOPIC, p)] for p in range(PARTITIONS)]


def test_joining_does_not_wait_for_a_fetch(
    servers: str, topics: KafkaTopics, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that is far behind is told so while another one waits for records at the end of the topic."""
    begun = threading.Event()

    def fetch(client: Consumer, servers: str, timeout_s: float) -> fetch_module.Fetched:
        begun.set()
        return fetch_module.fetch(client, servers, timeout_s)

    monkeypatch.setattr(scans_module, "fetch", fetch)
    scan = scans.of(TOPIC, range(PARTITIONS))
    ahead = scan.join({p: topics.ends(TOPIC, p)[1] for p in range(PARTITIONS)})
    assert ahead is not None
    given: list[object] = []
    waiting = threading.Thread(target=lambda: given.append(_take_records(scan, ahead)), daemon=True)
    waiting.start()
    assert begun.wait(30)
    for _ in range(20):
        assert scan.join(dict.fromkeys(range(PARTITIONS), 0)) is None
    assert not given
    produce(servers, TOPIC, [("k", {"V": 1})])
    waiting.join(30)
    assert given == [1]


def _take_records(scan: Scan, member: Member) -> int:
    """How many records come first; waits for them as one fetch."""
    while True:
        found = scan.take(member, 60.0)
        assert found is not None
        if len(found):
            return len(found)
