"""Where queries begin: tables at their beginning whatever auto.offset.reset says, streams where it says.

As recorded from ksqlDB 0.29.0 with the default setting, `latest`.
"""

from __future__ import annotations

import orjson
import pytest

from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, consume, rows_of, table_of

pytestmark = pytest.mark.integration
LATEST = {"ksql.streams.auto.offset.reset": "latest"}
SOURCES = """
CREATE STREAM orders (order_id BIGINT, customer_id BIGINT) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE customers (id BIGINT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=1);
"""
JOINED = """
CREATE STREAM named WITH (KAFKA_TOPIC='named') AS
  SELECT o.order_id, c.id AS cid, c.name FROM orders o LEFT JOIN customers c ON o.customer_id = c.id;
"""
COPY = "CREATE TABLE copy WITH (KAFKA_TOPIC='copy') AS SELECT id, name FROM customers;"


@pytest.fixture
def latest(start: Start) -> RunningEngine:
    """Queries begin at the end, and a customer and an order are there before them."""
    engine = start(LATEST)
    engine.sql(SOURCES)
    engine.sql("INSERT INTO customers (id, name) VALUES (1, 'before');")
    engine.sql("INSERT INTO orders (order_id, customer_id) VALUES (10, 1);")
    return engine


def names_of_orders(servers: str) -> dict[int, str | None]:
    rows = [orjson.loads(value or b"") for _, value in consume(servers, "named")]
    return {row["ORDER_ID"]: row["NAME"] for row in rows}


def test_a_join_knows_what_its_table_had_before(latest: RunningEngine, servers: str) -> None:
    latest.sql(JOINED)
    latest.settle()
    latest.sql("INSERT INTO customers (id, name) VALUES (2, 'right after');")
    latest.settle()
    latest.sql("INSERT INTO orders (order_id, customer_id) VALUES (11, 1);")
    latest.sql("INSERT INTO orders (order_id, customer_id) VALUES (12, 2);")
    latest.settle()
    assert names_of_orders(servers) == {11: "before", 12: "right after"}


def test_a_table_made_from_a_table_has_all_its_rows(latest: RunningEngine, servers: str) -> None:
    latest.sql(COPY)
    latest.sql("INSERT INTO customers (id, name) VALUES (2, 'right after');")
    latest.settle()
    assert {row["NAME"] for row in table_of(servers, "copy").values()} == {"before", "right after"}
    assert sorted(latest.pull("SELECT * FROM copy;")) == [[1, "before"], [2, "right after"]]


def test_a_push_query_over_a_table_begins_with_what_it_has(latest: RunningEngine) -> None:
    stream = latest.push("SELECT id, name FROM customers EMIT CHANGES;")
    assert rows_of(stream, 1) == [[1, "before"]]
    stream.close()


def test_a_restart_reads_nothing_twice(latest: RunningEngine, servers: str) -> None:
    latest.sql(JOINED + COPY)
    latest.settle()
    latest.restart()
    latest.sql("INSERT INTO orders (order_id, customer_id) VALUES (11, 1);")
    latest.settle()
    assert names_of_orders(servers) == {11: "before"}
    assert len(consume(servers, "copy")) == 1


def test_a_stream_over_a_tables_topic_begins_at_the_end(latest: RunningEngine, servers: str) -> None:
    """One topic as a stream and as a table: each query begins where its own source does, though they share its reading."""
    latest.sql(
        "CREATE STREAM changes (id BIGINT KEY, name VARCHAR) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON');"
    )
    latest.sql("CREATE STREAM renamed WITH (KAFKA_TOPIC='renamed') AS SELECT id, name FROM changes;" + COPY)
    latest.settle()
    latest.sql("INSERT INTO customers (id, name) VALUES (2, 'right after');")
    latest.settle()
    assert [orjson.loads(value or b"")["NAME"] for _, value in consume(servers, "renamed")] == ["right after"]
    assert {row["NAME"] for row in table_of(servers, "copy").values()} == {"before", "right after"}
