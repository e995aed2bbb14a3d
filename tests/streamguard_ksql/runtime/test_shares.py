"""What each engine of a service runs: every partition of every query is one engine's, and none is left without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.engine import Engine
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.runtime.sandbox import SandboxTopics
from streamguard_ksql.runtime.shares import ALL_SLOTS, MOST_ENGINES, SLOTS, is_divided, share_of, slots_of

PARTITIONS = 6
SOURCES = (
    "CREATE STREAM s (id VARCHAR KEY, a INT, b VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=6);",
    "CREATE STREAM other (id VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='other', VALUE_FORMAT='JSON', PARTITIONS=6);",
    "CREATE TABLE t (id VARCHAR PRIMARY KEY, x INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=6);",
    "CREATE TABLE u (id VARCHAR PRIMARY KEY, y VARCHAR) WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON', PARTITIONS=6);",
    "CREATE STREAM one (id VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='one', VALUE_FORMAT='JSON', PARTITIONS=1);",
)
DIVIDED = (
    "CREATE STREAM q AS SELECT * FROM s WHERE a > 3 EMIT CHANGES;",
    "CREATE TABLE q AS SELECT id, COUNT(*) FROM s WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY id EMIT CHANGES;",
    "CREATE STREAM q AS SELECT s.id, x FROM s JOIN t ON s.id = t.id EMIT CHANGES;",
    "CREATE STREAM q AS SELECT s.id, other.a FROM s JOIN other WITHIN 1 MINUTE ON s.id = other.id EMIT CHANGES;",
    "CREATE TABLE q AS SELECT t.id, x, y FROM t JOIN u ON t.id = u.id EMIT CHANGES;",
    "CREATE TABLE q AS SELECT id, x FROM t WHERE x > 1 EMIT CHANGES;",
    "CREATE STREAM q AS SELECT b, a FROM s PARTITION BY b EMIT CHANGES;",
    "CREATE STREAM q AS SELECT id, EXPLODE(ARRAY[a, 1]) AS e FROM s EMIT CHANGES;",
)
WHOLE = (
    "CREATE TABLE q AS SELECT b, COUNT(*) FROM s GROUP BY b EMIT CHANGES;",
    "CREATE STREAM q AS SELECT s.b, x FROM s JOIN t ON s.b = t.id EMIT CHANGES;",
    "CREATE TABLE q AS SELECT u.id, x FROM u JOIN t ON u.y = t.id EMIT CHANGES;",
    "CREATE TABLE q AS SELECT x, COUNT(*) FROM t GROUP BY x EMIT CHANGES;",
    "CREATE STREAM q AS SELECT * FROM one EMIT CHANGES;",
)


def _planned(sql: str) -> tuple[object, dict[str, int]]:
    engine = Engine(SandboxTopics({}))
    for source in SOURCES:
        engine.execute(parse_statement(source))
    query = engine.execute(parse_statement(sql)).query
    assert query is not None
    return query.plan, {source.topic: source.partitions or 0 for source in query.sources}


@pytest.mark.parametrize("sql", DIVIDED)
def test_divided(sql: str) -> None:
    """Rows stay in their partition, or leave the query at once."""
    assert is_divided(*_planned(sql))  # type: ignore[arg-type]


@pytest.mark.parametrize("sql", WHOLE)
def test_whole(sql: str) -> None:
    """Rows come together whose partitions were different, or there is one partition."""
    assert not is_divided(*_planned(sql))  # type: ignore[arg-type]


def _ranges(engines: int) -> list[frozenset[int]]:
    """The slots of so many engines, as Kafka's range assignor gives them."""
    least, more = divmod(SLOTS, engines)
    sizes = [least + (number < more) for number in range(engines)]
    ends = [sum(sizes[: number + 1]) for number in range(engines)]
    return [frozenset(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


@given(st.integers(2, 64), st.integers(1, MOST_ENGINES), st.sampled_from((DIVIDED[0], WHOLE[0])))
def test_every_partition_once(partitions: int, engines: int, sql: str) -> None:
    """Whatever the numbers: every partition is read by one engine, and where there are enough no engine has none."""
    plan, _ = _planned(sql)
    counts = {"s": partitions}
    shares = [share_of(plan, "Q", counts, slots).get("s", ()) for slots in _ranges(engines)]  # type: ignore[arg-type]
    assert sorted(p for share in shares for p in share) == list(range(partitions))
    if is_divided(plan, counts) and partitions >= engines:  # type: ignore[arg-type]
        sizes = [len(share) for share in shares]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


def test_alone() -> None:
    """All slots are all partitions, of a query that is divided and of one that is not."""
    for sql in (DIVIDED[0], WHOLE[0]):
        plan, counts = _planned(sql)
        assert share_of(plan, "Q", counts, ALL_SLOTS) == {"s": tuple(range(PARTITIONS))}  # type: ignore[arg-type]
        assert set(slots_of(plan, "Q", counts)) <= ALL_SLOTS  # type: ignore[arg-type]
