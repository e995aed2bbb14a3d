"""A fault of the engine ends its query with the reason; it is never a NULL, and never a record left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamguard_ksql.functions.registry import FUNCTIONS
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.runtime.api import QueryStats
from streamguard_ksql.server.execution import Context
from streamguard_ksql.server.state import Server
from streamguard_ksql.statements.queries import ListQueries, list_queries
from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, consume, produce
from tests.support.ksqldb import eventually

pytestmark = pytest.mark.integration
SOURCE = (
    "CREATE STREAM s (k VARCHAR KEY, a VARCHAR, n INT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
QUERIES = {
    "SELECT": "CREATE STREAM o WITH (KAFKA_TOPIC='o') AS SELECT k, UCASE(a) AS b FROM s;",
    "WHERE": "CREATE STREAM o WITH (KAFKA_TOPIC='o') AS SELECT * FROM s WHERE UCASE(a) = 'X';",
    "array": "CREATE STREAM o WITH (KAFKA_TOPIC='o') AS SELECT k, ARRAY[UCASE(a)] AS b FROM s;",
    "GROUP BY": "CREATE TABLE o WITH (KAFKA_TOPIC='o') AS SELECT UCASE(a) AS u, COUNT(*) AS c FROM s GROUP BY UCASE(a);",
    "aggregate": "CREATE TABLE o WITH (KAFKA_TOPIC='o') AS SELECT k, MAX(UCASE(a)) AS m FROM s GROUP BY k;",
    "HAVING": "CREATE TABLE o WITH (KAFKA_TOPIC='o') AS SELECT k, MAX(a) AS m FROM s GROUP BY k HAVING UCASE(MAX(a))='X';",
}
FAULTS = [TypeError("a fault"), AttributeError("a fault"), KeyError("a fault"), IndexError("a fault")]


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make UCASE raise an error."""

    def inject(error: Exception) -> None:
        def faulty(value: str) -> str:
            raise error

        ucase = FUNCTIONS["UCASE"]
        monkeypatch.setattr(ucase, "variants", [replace(v, body=faulty) for v in ucase.variants])

    return inject


def ended(engine: RunningEngine) -> QueryStats:
    [query_id] = engine.runtime.engine.queries
    eventually(lambda: engine.runtime.stats(query_id).failure, 20)
    return engine.runtime.stats(query_id)


@pytest.mark.parametrize("step", QUERIES)
def test_a_fault_in_a_function_ends_the_query(step: str, engine: RunningEngine, servers: str, inject: Any) -> None:
    inject(TypeError("a fault"))
    engine.sql(SOURCE + QUERIES[step])
    produce(servers, "given", [("k", {"A": "x", "N": 1})])
    stats = ended(engine)
    assert stats.state == "ERROR"
    assert stats.failure == "TypeError: a fault"
    assert consume(servers, "o") == []


@pytest.mark.parametrize("error", FAULTS, ids=lambda e: type(e).__name__)
def test_no_error_of_ours_is_a_row_error(error: Exception, engine: RunningEngine, servers: str, inject: Any) -> None:
    inject(error)
    engine.sql(SOURCE + QUERIES["SELECT"])
    produce(servers, "given", [("k", {"A": "x", "N": 1})])
    assert ended(engine).failure == f"{type(error).__name__}: {error}"


def test_show_queries_has_the_reason(engine: RunningEngine, servers: str, inject: Any) -> None:
    inject(TypeError("a fault"))
    engine.sql(SOURCE + QUERIES["SELECT"])
    produce(servers, "given", [("k", {"A": "x", "N": 1})])
    ended(engine)
    context = Context(Server(engine.runtime), {}, {})
    [plain] = list_queries(_list_queries("SHOW QUERIES;"), context)
    [query] = plain["queries"]
    assert query["statusCount"] == {"ERROR": 1}
    assert plain["warnings"] == [{"message": f"Query {query['id']} has ended: TypeError: a fault"}]
    [extended] = list_queries(_list_queries("SHOW QUERIES EXTENDED;"), context)
    [error] = extended["queryDescriptions"][0]["queryErrors"]
    assert error["errorMessage"] == "TypeError: a fault" and error["type"] == "SYSTEM" and error["timestamp"] > 0


def _list_queries(text: str) -> ListQueries:
    statement = parse_statement(text)
    assert isinstance(statement, ListQueries)
    return statement


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_a_sum_beyond_its_decimal_ends_the_query(start: Start, servers: str, guarantee: str) -> None:
    """What came before has its results, unless they are part of one transaction; no value is outside its type."""
    engine = start({"ksql.streams.processing.guarantee": guarantee})
    engine.sql(
        "CREATE STREAM tips (k VARCHAR KEY, tip DECIMAL(4,2)) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "CREATE TABLE o WITH (KAFKA_TOPIC='o') AS SELECT k, SUM(tip) AS total FROM tips GROUP BY k;"
    )
    tips = [("a", 40.25), ("a", 41.5), ("a", 30.75), ("b", 1.1)]
    produce(servers, "given", [(key, {"TIP": tip}) for key, tip in tips])
    stats = ended(engine)
    assert stats.state == "ERROR"
    assert stats.failure == (
        "Numeric field overflow: a SUM has reached 112.50, which does not fit DECIMAL(4, 2). "
        "CAST what is summed to a DECIMAL with more digits."
    )
    totals = [b'{"TOTAL":40.25}', b'{"TOTAL":81.75}']
    assert [value for _, value in consume(servers, "o")] == (totals if guarantee == "at_least_once" else [])


def test_other_queries_go_on(engine: RunningEngine, servers: str, inject: Any) -> None:
    inject(TypeError("a fault"))
    engine.sql(SOURCE + QUERIES["SELECT"])
    engine.sql("CREATE STREAM good WITH (KAFKA_TOPIC='good') AS SELECT k, n + 1 AS n FROM s;")
    produce(servers, "given", [("k", {"A": "x", "N": 1})])
    eventually(lambda: consume(servers, "good"), 20)
    faulty, good = sorted(engine.runtime.engine.queries, key=lambda q: "GOOD" in q)
    eventually(lambda: engine.runtime.stats(faulty).failure, 20)
    assert engine.runtime.stats(good).state == "RUNNING"


def test_an_ended_query_cannot_be_resumed_but_terminated(engine: RunningEngine, servers: str, inject: Any) -> None:
    inject(TypeError("a fault"))
    engine.sql(SOURCE + QUERIES["SELECT"])
    produce(servers, "given", [("k", {"A": "x", "N": 1})])
    ended(engine)
    [query_id] = engine.runtime.engine.queries
    engine.sql(f"PAUSE {query_id}; RESUME {query_id};")
    assert engine.runtime.stats(query_id).state == "ERROR"
    engine.sql(f"TERMINATE {query_id};")
    assert not engine.runtime.engine.queries


def test_a_query_that_ended_runs_again_after_a_restart(engine: RunningEngine, servers: str, inject: Any) -> None:
    """A mended engine loses no record: the query goes on from its last commit."""
    with pytest.MonkeyPatch.context() as patch:
        ucase = FUNCTIONS["UCASE"]
        patch.setattr(ucase, "variants", [replace(v, body=lambda value: [][1]) for v in ucase.variants])
        engine.sql(SOURCE + QUERIES["SELECT"])
        produce(servers, "given", [("k", {"A": "x", "N": 1})])
        assert ended(engine).failure == "IndexError: list index out of range"
    engine.restart()
    engine.settle()
    assert [value for _, value in consume(servers, "o")] == [b'{"B":"X"}']
