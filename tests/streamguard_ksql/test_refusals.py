"""Statements that an earlier version accepted are carried out again at a restart, though new ones like them are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.refusals import accepted_before
from streamguard_ksql.testing.harness import Harness

SOURCES = """
CREATE STREAM s (id INT KEY, a INT, b STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM wide (id INT KEY, a BIGINT, b STRING) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE t (id STRING PRIMARY KEY, a INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
"""
ONCE_ACCEPTED = [
    "CREATE STREAM n (size INT, at STRING, days INT, window INT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "CREATE STREAM o AS SELECT id, b || b AS c FROM s;",
    "CREATE STREAM o AS SELECT id, CASE a WHEN 1 THEN 'one' END AS c FROM s;",
    "CREATE STREAM o AS SELECT id, a FROM s LIMIT 5;",
    "INSERT INTO wide SELECT id, a, b FROM s;",
    "CREATE TABLE n (id INT PRIMARY KEY, a INT) "
    "WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=1, CLEANUP_POLICY='compact');",
    "CREATE TABLE o AS SELECT s.b, WINDOWSTART AS w, COUNT(*) AS n FROM s JOIN t ON s.b = t.id "
    "WINDOW TUMBLING (SIZE 1 DAY) GROUP BY s.b;",
]


@pytest.fixture
def repeated() -> Iterator[None]:
    token = accepted_before.set(True)
    yield
    accepted_before.reset(token)


@pytest.mark.parametrize("sql", ONCE_ACCEPTED)
def test_what_was_accepted_is_still_carried_out(repeated: None, sql: str) -> None:
    Harness().run_script(SOURCES + sql)


@pytest.mark.parametrize("sql", ONCE_ACCEPTED)
def test_what_is_new_is_refused(sql: str) -> None:
    with pytest.raises(KsqlError):
        Harness().run_script(SOURCES + sql)


def test_keywords_stay_keywords(repeated: None) -> None:
    sql = "CREATE TABLE t AS SELECT a, COUNT(*) FROM s WINDOW HOPPING (SIZE 2 DAYS, ADVANCE BY 1 DAYS, GRACE PERIOD 1 HOURS)"
    assert parse_statement(f"{sql} GROUP BY a;") and parse_statement("TERMINATE ALL;")
    assert parse_statement("CREATE STREAM o AS SELECT DATEADD(DAYS, 1, d) AS x, days FROM window;")
