"""The order between partitions: the state machine alone, a reader whose topics are fetched in the wrong order, joins."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition

from streamguard_ksql.operators.record import Batch, InputRecord
from streamguard_ksql.runtime import clients, reader
from streamguard_ksql.runtime.clients import KafkaTopics, Positions
from streamguard_ksql.runtime.corrupt import LostBatch
from streamguard_ksql.runtime.fetch import Fetched
from streamguard_ksql.runtime.reader import Reader
from streamguard_ksql.runtime.time_order import Place, TimeOrder
from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, consume, create_topic, produce
from tests.support.ksqldb import eventually

T0_MS = int(time.time() * 1000) - 3_600_000
Given = list[tuple[str, int]]


def batch(topic: str, offset: int, *times: int, partition: int = 0) -> Batch:
    return Batch([InputRecord(topic, partition, offset + n, None, None, time) for n, time in enumerate(times)])


def fetched(*batches: Batch, ends: tuple[tuple[str, int, int], ...] = ()) -> Fetched:
    return Fetched(list(batches), list(ends))


def given(order: TimeOrder) -> Given:
    return [(r.topic, r.time) for _, records in order.take() for r in records]


@pytest.fixture
def order() -> TimeOrder:
    return TimeOrder({"a": {0: 0}, "b": {0: 0}})


# --- the state machine ------------------------------------------------------------------------------------------------


def test_what_is_fetched_second_but_was_written_first_comes_first(order: TimeOrder) -> None:
    order.add(fetched(batch("b", 0, 20)))
    assert not given(order)
    assert order.must_ask
    order.learn({("a", 0): 1, ("b", 0): 1})
    assert not given(order)
    assert not order.must_ask
    order.add(fetched(batch("a", 0, 10)))
    assert given(order) == [("a", 10)]
    order.learn({("a", 0): 1, ("b", 0): 1})
    assert given(order) == [("b", 20)]


def test_an_end_that_was_asked_for_before_the_record_came_does_not_count(order: TimeOrder) -> None:
    order.learn({("a", 0): 0, ("b", 0): 0})
    order.add(fetched(batch("b", 0, 20)))
    assert not given(order)
    assert order.must_ask
    order.learn({("a", 0): 0, ("b", 0): 1})
    assert given(order) == [("b", 20)]
    assert order.positions == {"a": {0: 0}, "b": {0: 1}}


def test_a_partition_may_be_ahead_of_the_others_by_so_much_and_no_more() -> None:
    order = TimeOrder({"a": {0: 0, 1: 0}}, ahead_ms=10)
    order.add(fetched(batch("a", 0, 10, 29, 30, 31), batch("a", 0, 20, 60, partition=1)))
    runs = [(partition, [r.time for r in records]) for partition, records in order.take()]
    assert runs == [(0, [10, 29, 30]), (1, [20]), (0, [31])]


def test_while_every_partition_has_records_nothing_is_asked(order: TimeOrder) -> None:
    order.add(fetched(batch("a", 0, 10, 30, 50), batch("b", 0, 20, 40)))
    assert given(order) == [("a", 10), ("b", 20), ("a", 30), ("b", 40)]
    assert order.must_ask
    order.learn({("a", 0): 3, ("b", 0): 3})
    assert not given(order)
    order.add(fetched(batch("b", 2, 45)))
    assert given(order) == [("b", 45)]


def test_offsets_without_records_are_passed(order: TimeOrder) -> None:
    """The end of the partition is behind the marker of a transaction: it is reached, though no record was there."""
    order.add(fetched(batch("b", 0, 20)))
    order.learn({("a", 0): 2, ("b", 0): 1})
    assert not given(order)
    order.add(fetched(ends=(("a", 0, 2),)))
    assert given(order) == [("b", 20)]
    assert order.positions == {"a": {0: 2}, "b": {0: 1}}


def test_late_records_keep_their_place_in_their_partition(order: TimeOrder) -> None:
    order.add(fetched(batch("a", 0, 50, 5), batch("b", 0, 20, 60)))
    assert given(order) == [("b", 20), ("a", 50), ("a", 5)]


def test_any_interleaving_of_fetches_gives_the_same_order() -> None:
    """Partitions with increasing times, fetched in random pieces, in any order, while ends move."""
    for seed in range(200):
        draw = random.Random(seed)
        places: list[Place] = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
        times: dict[Place, list[int]] = {
            place: sorted(draw.sample(range(1_000), draw.randrange(30))) for place in places
        }
        order = TimeOrder({"a": {0: 0, 1: 0}, "b": {0: 0, 1: 0}})
        seen: list[tuple[int, Place]] = []
        at = dict.fromkeys(places, 0)
        while len(seen) < sum(map(len, times.values())):
            open_places = [p for p in places if at[p] < len(times[p])]
            if open_places:
                place = draw.choice(open_places)
                count = draw.randrange(1, 10)
                order.add(fetched(batch(place[0], at[place], *times[place][at[place] :][:count], partition=place[1])))
                at[place] = min(at[place] + count, len(times[place]))
            while True:
                seen += [(r.time, r[:2]) for _, records in order.take() for r in records]
                if not order.must_ask:
                    break
                order.learn({place: len(times[place]) for place in places})
        assert seen == sorted((t, place) for place in places for t in times[place])
        assert order.positions == {"a": {0: at["a", 0], 1: at["a", 1]}, "b": {0: at["b", 0], 1: at["b", 1]}}
        assert not any(order.held.values())


# --- a reader -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_topics(servers: str) -> Iterator[Reader]:
    """A reader of the topics first and second, from their beginning."""
    for topic in ("first", "second"):
        create_topic(servers, topic, 1)
    lost: list[LostBatch] = []
    known: Positions = {}
    partitions = {"first": [0], "second": [0]}
    reader = Reader(
        lambda: clients.consumer(servers, "two-topics"),
        KafkaTopics(servers),
        partitions,
        known,
        from_beginning=partitions,
        lost=lost.append,
    )
    yield reader
    reader.close()
    assert not lost


FIRST = [TopicPartition("first", 0)]


def poll(found: Reader) -> Given:
    return [(r.topic, r.time - T0_MS) for _, records in found.poll(0.05) for r in records]


def held(found: Reader, topic: str) -> int:
    assert found._order is not None
    return found._order.held[topic, 0]


@pytest.mark.integration
def test_a_topic_that_is_fetched_late_is_waited_for(two_topics: Reader, servers: str) -> None:
    assert poll(two_topics) == []
    two_topics.client.pause(FIRST)
    produce(servers, "first", [("k", {"N": 1})], [T0_MS])
    produce(servers, "second", [("k", {"N": 2})], [T0_MS + 10])
    while not held(two_topics, "second"):
        assert poll(two_topics) == []
    for _ in range(40):  # more often than any reader would have patience
        assert poll(two_topics) == []
    two_topics.client.resume(FIRST)
    found: Given = []
    while len(found) < 2:
        found += poll(two_topics)
    assert found == [("first", 0), ("second", 10)]


@pytest.mark.integration
def test_a_topic_that_waits_for_another_is_not_fetched_without_end(
    two_topics: Reader, servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_HELD", 1_000)
    assert poll(two_topics) == []
    two_topics.client.pause(FIRST)
    count = 30_000
    produce(servers, "first", [("k", {"N": n}) for n in range(100)], [T0_MS + 200 * n for n in range(100)])
    produce(servers, "second", [("k", {"N": n}) for n in range(count)], [T0_MS + n for n in range(count)])
    while held(two_topics, "second") <= reader.MOST_HELD:
        assert poll(two_topics) == []
    for _ in range(40):
        assert poll(two_topics) == []
    assert held(two_topics, "second") < count // 3
    two_topics.client.resume(FIRST)
    found: Given = []
    while len(found) < count + 100:
        found += poll(two_topics)
    times = [("first", 200 * n) for n in range(100)] + [("second", n) for n in range(count)]
    assert found == sorted(times, key=lambda place_and_time: (place_and_time[1], place_and_time[0]))


# --- joins --------------------------------------------------------------------------------------------------------------

SOURCES = """
CREATE STREAM orders (oid INT KEY, total DOUBLE) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM items (oid INT KEY, label VARCHAR) WITH (KAFKA_TOPIC='items', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM visits (id INT KEY, page VARCHAR) WITH (KAFKA_TOPIC='visits', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON', PARTITIONS=1);
"""
JOINS = """
CREATE STREAM labelled_{n} WITH (KAFKA_TOPIC='labelled_{n}') AS SELECT o.oid AS oid, o.total, i.label FROM orders o
  LEFT JOIN items i WITHIN 3 SECONDS ON o.oid = i.oid;
CREATE STREAM visited_{n} WITH (KAFKA_TOPIC='visited_{n}') AS SELECT v.id AS id, v.page, p.name FROM visits v
  LEFT JOIN people p ON v.id = p.id;
"""


def key(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.integration
def test_equal_joins_over_live_topics_agree_from_the_first_record(engine: RunningEngine, servers: str) -> None:
    """Eight queries start together, and records come while they do."""
    engine.sql(SOURCES)
    engine.sql("".join(JOINS.format(n=n) for n in range(4)))
    produce(servers, "people", [(key(1), {"NAME": "Ada"})], [T0_MS])
    produce(servers, "visits", [(key(1), {"PAGE": "home"})], [T0_MS + 1])
    produce(servers, "orders", [(key(1), {"TOTAL": 10.5}), (key(2), {"TOTAL": 3.25})], [T0_MS, T0_MS])
    labels = [(key(1), {"LABEL": "cap"}), (key(1), {"LABEL": "pen"}), (key(2), {"LABEL": "mug"})]
    produce(servers, "items", labels, [T0_MS + 2_000, T0_MS + 2_000, T0_MS + 3_000])
    engine.settle()
    for n in range(4):
        joined = [orjson.loads(value or b"")["LABEL"] for _, value in consume(servers, f"labelled_{n}")]
        assert joined == [None, None, "cap", "pen", "mug"]
        assert [orjson.loads(value or b"")["NAME"] for _, value in consume(servers, f"visited_{n}")] == ["Ada"]


@pytest.mark.integration
def test_the_times_of_timestamp_columns_are_what_orders(engine: RunningEngine, servers: str) -> None:
    """The order of the records' own times is the other way round."""
    engine.sql("""
CREATE STREAM visits (id INT KEY, page VARCHAR, seen BIGINT)
  WITH (KAFKA_TOPIC='visits', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='seen');
CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR, since VARCHAR)
  WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='since', TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ss');
""")
    seconds = T0_MS // 1000 - 60

    def text(second: int) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds + second))

    visits: list[tuple[bytes, Any]] = [
        (key(n), {"PAGE": "home", "SEEN": 1000 * (seconds + at)}) for n, at in ((1, 1), (2, 3))
    ]
    visits += [(key(1), {"PAGE": "no time"}), (key(1), b"unreadable")]
    produce(servers, "visits", visits, [T0_MS, T0_MS + 1, T0_MS + 2, T0_MS + 3])
    names = [("Ada", text(0)), ("Eve", text(2)), ("bad", "some day")]
    people = [(key(1), {"NAME": name, "SINCE": since}) for name, since in names]
    produce(servers, "people", people, [T0_MS + 50, T0_MS + 51, T0_MS + 52])
    engine.sql(JOINS.format(n=0).split(";")[1] + ";")
    engine.settle()
    found = [orjson.loads(value or b"") for _, value in consume(servers, "visited_0")]
    assert [(row["PAGE"], row["NAME"]) for row in found] == [("home", "Ada"), ("home", None)]


@pytest.mark.integration
def test_a_join_over_topics_of_transactions_does_not_stand_still(start: Start, servers: str) -> None:
    """Behind the last record of each topic there are markers: the topic is at its end though its end is not reached."""
    engine = start({"ksql.streams.processing.guarantee": "exactly_once_v2"})
    engine.sql(SOURCES)
    engine.sql("""
CREATE STREAM o WITH (KAFKA_TOPIC='o') AS SELECT oid, total FROM orders;
CREATE STREAM i WITH (KAFKA_TOPIC='i') AS SELECT oid, label FROM items;
CREATE STREAM labelled WITH (KAFKA_TOPIC='labelled') AS SELECT o.oid AS oid, o.total, i.label FROM o
  LEFT JOIN i WITHIN 3 SECONDS ON o.oid = i.oid;
""")
    for n in range(3):
        produce(servers, "orders", [(key(n), {"TOTAL": n})], [T0_MS + n])
        engine.settle()
    produce(servers, "items", [(key(1), {"LABEL": "cap"})], [T0_MS + 10])
    engine.settle()
    eventually(lambda: len(consume(servers, "labelled")) == 4, 20)
    labels = [orjson.loads(value or b"")["LABEL"] for _, value in consume(servers, "labelled")]
    assert labels == [None, None, None, "cap"]


# --- windows over rows of several partitions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "source"), [("city", "visits"), ("id", "visits"), pytest.param("city", "cleaned", marks=pytest.mark.soak)]
)
def test_a_topic_that_is_full_already_loses_no_window(
    engine: RunningEngine, servers: str, key: str, source: str
) -> None:
    """Each partition has a day; read one after the other, all but the first would be too late."""
    create_topic(servers, "full", 3)
    times = [T0_MS - 86_400_000 + n * 10_000 for n in range(8_640)]
    records = [(f"A{n % 40}", {"city": f"c{n % 5}"}) for n in range(len(times))]
    produce(servers, "full", records, times)
    engine.sql(
        "CREATE STREAM visits (id VARCHAR KEY, city VARCHAR) WITH (KAFKA_TOPIC='full', VALUE_FORMAT='JSON');"
        "CREATE STREAM cleaned WITH (KAFKA_TOPIC='cleaned') AS SELECT * FROM visits EMIT CHANGES;"
        f"CREATE TABLE n WITH (KAFKA_TOPIC='n') AS SELECT {key}, COUNT(*) AS n FROM {source}"
        f" WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 1 SECOND) GROUP BY {key} EMIT CHANGES;"
    )
    engine.settle()
    assert len(consume(servers, "n")) == len(times)
