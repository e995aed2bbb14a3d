"""A query that takes too much CPU time or memory ends alone and says why, in the middle of a batch if need be."""

from __future__ import annotations

import pytest

from streamguard_ksql.errors import LimitExceeded
from streamguard_ksql.runtime.memory import value_bytes
from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, produce
from tests.support.ksqldb import eventually

pytestmark = pytest.mark.integration
SOURCE = "CREATE STREAM s (k VARCHAR KEY, a VARCHAR) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1);"
ENDLESS = "REDUCE(GENERATE_SERIES(1, 1000000), 0, (s, i) => REDUCE(GENERATE_SERIES(1, 1000000), s, (t, j) => t + j))"
"""10 to the 12th steps, each of them quick."""
QUICK = {"ksql.query.batch.cpu.limit.ms": "300"}


def failure(engine: RunningEngine, query_id: str) -> str:
    """Why a query has ended, once it has."""
    found = eventually(lambda: engine.runtime.stats(query_id).failure, 60)
    assert engine.runtime.stats(query_id).state == "ERROR"
    return str(found)


def test_a_batch_that_never_ends_ends_its_query_alone(start: Start, servers: str) -> None:
    engine = start(QUICK)
    engine.sql(SOURCE)
    [endless, other] = [
        one.outcome.query.query_id
        for one in engine.sql(
            f"CREATE STREAM endless AS SELECT k, {ENDLESS} AS n FROM s;"
            "CREATE STREAM other AS SELECT k, UCASE(a) AS b FROM s;"
        )
        if one.outcome.query
    ]
    produce(servers, "given", [("k", {"A": "x"})])
    assert "A batch of records took more than 300 ms of CPU time without progress" in failure(engine, endless)
    assert eventually(lambda: engine.runtime.stats(other).produced == 1)
    assert engine.runtime.stats(other).state == "RUNNING"


def test_a_batch_with_many_rows_makes_progress(start: Start, servers: str) -> None:
    """It takes far more than the limit, but never without a step forward."""
    engine = start({"ksql.query.batch.cpu.limit.ms": "1000"})
    engine.sql(SOURCE)
    [made] = engine.sql("CREATE STREAM many AS SELECT k, EXPLODE(GENERATE_SERIES(1, 300000)) AS n FROM s;")
    assert made.outcome.query is not None
    produce(servers, "given", [("k", {"A": "x"})] * 3)
    eventually(lambda: engine.runtime.stats(made.outcome.query.query_id).produced == 900_000, 60)


def test_a_push_query_that_never_ends_gives_the_reason(start: Start, servers: str) -> None:
    engine = start(QUICK)
    engine.sql(SOURCE)
    produce(servers, "given", [("k", {"A": "x"})])
    query = engine.push(f"SELECT {ENDLESS} FROM s EMIT CHANGES;")
    with pytest.raises(LimitExceeded, match="more than 300 ms of CPU time"):
        while query.next_rows(1.0) is not None:
            pass
    query.close()


def test_a_query_is_terminated_in_the_middle_of_a_batch(start: Start, servers: str) -> None:
    engine = start()
    engine.sql(SOURCE)
    [made] = engine.sql(f"CREATE STREAM endless AS SELECT k, {ENDLESS} AS n FROM s;")
    assert made.outcome.query is not None
    query_id = made.outcome.query.query_id
    produce(servers, "given", [("k", {"A": "x"})])
    runner = engine.runtime._runners[query_id]
    eventually(lambda: runner.pulse.is_busy)
    engine.sql(f"TERMINATE {query_id};")
    eventually(lambda: not runner.pulse.thread.is_alive())


def test_a_state_that_grows_too_large_ends_its_query(start: Start, servers: str) -> None:
    engine = start({"ksql.query.memory.limit.bytes": "3000000"})
    engine.sql(SOURCE)
    [large, small] = [
        one.outcome.query.query_id
        for one in engine.sql(
            "CREATE TABLE large AS SELECT k, COLLECT_LIST(a) AS n FROM s GROUP BY k;"
            "CREATE TABLE small AS SELECT 1 AS one, COUNT(*) AS n FROM s GROUP BY 1;"
        )
        if one.outcome.query
    ]
    produce(servers, "given", [(f"k{n}", {"A": f"{n:0>200}"}) for n in range(10_000)])
    reason = failure(engine, large)
    assert "memory, more than the 3 MB that a query may have" in reason and "ksql.query.memory.limit.bytes" in reason
    assert eventually(lambda: engine.pull("SELECT n FROM small WHERE one = 1;") == [[10_000]])
    assert engine.runtime.stats(small).state == "RUNNING"


def test_the_estimate_of_a_value_is_near_to_its_size() -> None:
    large = {f"k{n}": [n, "x" * 1000, {"a": [1.5] * 100}] for n in range(10_000)}
    assert 10_000 * 1_000 < value_bytes(large) < 10_000 * 6_000
    assert value_bytes([]) < 100
