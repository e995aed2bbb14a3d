"""Statements on a running engine, and what of them survives a restart."""

from __future__ import annotations

from typing import Any

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.runtime import names
from streamguard_ksql.runtime.clients import KafkaTopics
from tests.support.engine import SERVICE_ID, RunningEngine, consume, produce, table_of
from tests.support.processes import eventually

pytestmark = pytest.mark.integration
SOURCE = "CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=3);"
TOTALS = "CREATE TABLE totals WITH (KAFKA_TOPIC='totals') AS SELECT k, SUM(v) AS total FROM s GROUP BY k;"


def numbers(*values: int) -> list[tuple[str, dict[str, int]]]:
    return [(f"k{v % 4}", {"V": v}) for v in values]


def test_everything_is_back_after_a_restart(engine: RunningEngine, servers: str) -> None:
    engine.sql("CREATE TYPE point AS STRUCT<x INT, y INT>;")
    engine.sql(SOURCE + TOTALS)
    engine.sql("CREATE STREAM named WITH (KAFKA_TOPIC='named') AS SELECT k, v FROM s WHERE v > 2;")
    engine.sql("INSERT INTO named WITH (QUERY_ID='mine') SELECT k, v FROM s WHERE v < 0;")
    engine.sql("PAUSE mine;")
    engine.sql("CREATE STREAM gone AS SELECT * FROM s; DROP STREAM gone DELETE TOPIC; DROP TYPE IF EXISTS nothing;")
    catalog = engine.runtime.engine.catalog
    before = (sorted(catalog.sources), dict(catalog.types), list(engine.runtime.engine.queries))
    produce(servers, "given", numbers(1, 2, 3, 4, 5))
    engine.restart()
    catalog = engine.runtime.engine.catalog
    assert (sorted(catalog.sources), dict(catalog.types), list(engine.runtime.engine.queries)) == before
    assert engine.runtime.stats("MINE").state == "PAUSED"
    engine.sql("RESUME mine;")
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM totals;")) == [["k0", 4], ["k1", 6], ["k2", 2], ["k3", 3]]
    number = engine.sql("CREATE STREAM next AS SELECT * FROM s;")[0].outcome.query
    assert number is not None
    assert number.query_id not in before[2]


def test_a_restart_does_not_delete_or_create_topics_again(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE)
    engine.sql("DROP STREAM s DELETE TOPIC;")
    eventually(lambda: "given" in KafkaTopics(servers).all(), lambda there: not there)
    engine.sql(SOURCE)
    produce(servers, "given", numbers(1, 2, 3))
    engine.sql("CREATE STREAM other (v BIGINT) WITH (KAFKA_TOPIC='other', VALUE_FORMAT='JSON', PARTITIONS=1);")
    engine.sql("DROP STREAM other DELETE TOPIC;")
    engine.restart()
    assert len(consume(servers, "given")) == 3
    assert "other" not in KafkaTopics(servers).all()


def test_terminate_leaves_nothing_behind(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE + TOTALS)
    produce(servers, "given", numbers(1, 2, 3))
    engine.settle()
    query = next(iter(engine.runtime.engine.queries))
    engine.sql(f"TERMINATE {query};")
    topics = KafkaTopics(servers)
    eventually(lambda: names.changelog_topic(SERVICE_ID, query) in topics.all(), lambda there: not there)
    groups = [g.group_id for g in topics.admin.list_consumer_groups().result().valid]
    assert names.query_group(SERVICE_ID, query) not in groups
    with pytest.raises(KsqlError):
        engine.pull("SELECT * FROM totals;")
    # A query of the same name starts without the old one's state.
    engine.sql("DROP TABLE totals DELETE TOPIC;")
    eventually(lambda: "totals" in topics.all(), lambda there: not there)
    engine.sql(TOTALS)
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM totals;")) == [["k1", 1], ["k2", 2], ["k3", 3]]


def test_pause_and_resume(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE + TOTALS)
    query = next(iter(engine.runtime.engine.queries))
    engine.sql(f"PAUSE {query};")
    produce(servers, "given", numbers(1, 2, 3))
    engine.restart()
    assert engine.runtime.stats(query).state == "PAUSED"
    assert engine.pull("SELECT * FROM totals;") == []
    engine.sql("RESUME ALL;")
    engine.settle()
    assert len(engine.pull("SELECT * FROM totals;")) == 3


def test_create_or_replace_goes_on_where_the_query_was(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE + "CREATE STREAM big WITH (KAFKA_TOPIC='big') AS SELECT k, v FROM s WHERE v > 2;")
    produce(servers, "given", numbers(1, 2, 3))
    engine.settle()
    query = next(iter(engine.runtime.engine.queries))
    text = "CREATE OR REPLACE STREAM big WITH (KAFKA_TOPIC='big') AS SELECT k, v, v * 2 AS w FROM s WHERE v > 0;"
    replaced = engine.sql(text)[0].outcome.query
    assert replaced is not None
    assert replaced.query_id == query
    produce(servers, "given", numbers(1))
    engine.settle()
    assert [v for _, v in consume(servers, "big")] in ([b'{"V":3}', b'{"V":1,"W":2}'], [b'{"V":1,"W":2}', b'{"V":3}'])


def test_create_or_replace_keeps_or_refuses_state(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE + TOTALS)
    produce(servers, "given", numbers(1, 2, 3))
    engine.settle()
    more = TOTALS.replace("CREATE TABLE", "CREATE OR REPLACE TABLE")
    with pytest.raises(KsqlError, match="Cannot upgrade"):
        engine.sql(more.replace("AS total", "AS total, COUNT(*) AS n"))
    engine.sql(more.replace("FROM s", "FROM s WHERE v > 1"))
    produce(servers, "given", numbers(1, 5))
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM totals;")) == [["k1", 6], ["k2", 2], ["k3", 3]]


def test_insert_values(engine: RunningEngine, servers: str) -> None:
    engine.sql(SOURCE + TOTALS)
    engine.sql(
        "INSERT INTO s (k, v) VALUES ('a', 1); INSERT INTO s (k, v) VALUES ('a', 2); INSERT INTO s VALUES ('b', 3);"
    )
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM totals;")) == [["a", 3], ["b", 3]]
    assert {k: v["TOTAL"] for k, v in table_of(servers, "totals").items()} == {b"a": 3, b"b": 3}


def test_a_refused_statement_changes_nothing(engine: RunningEngine) -> None:
    engine.sql(SOURCE)
    with pytest.raises(KsqlError):
        engine.sql("CREATE TABLE wrong AS SELECT nothing FROM s GROUP BY k;")
    engine.restart()
    assert sorted(engine.runtime.engine.catalog.sources) == ["KSQL_PROCESSING_LOG", "S"]


def test_the_figures_of_all_queries_are_asked_for_together(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request for each of dozens of queries makes SHOW QUERIES take seconds while payments come."""
    engine.sql(SOURCE + "".join(f"CREATE STREAM o{n} AS SELECT * FROM s;" for n in range(4)))
    ids = list(engine.runtime.engine.queries)
    eventually(lambda: [engine.runtime.stats(query).offsets for query in ids], all)
    asked, ask = 0, KafkaTopics.offsets

    def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return ask(*arguments)

    monkeypatch.setattr(KafkaTopics, "offsets", counted)
    stats = engine.runtime.stats_to_show()
    assert asked == 0
    assert [len(stats(query).offsets) for query in ids] == [1, 1, 1, 1]
    assert asked == 1
