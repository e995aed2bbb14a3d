"""Rows that are handed over are what would have been read of their bytes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord

SOURCE = (
    "CREATE STREAM t (k STRING KEY, i INT, l BIGINT, d DOUBLE, n DECIMAL(6, 2), s STRING, f BOOLEAN, a ARRAY<DECIMAL(6, 2)>)"
    " WITH (kafka_topic='in', value_format='JSON');"
)
WRITE = "CREATE STREAM mid WITH (kafka_topic='mid') AS SELECT * FROM t;"
VALUES: list[Any] = [
    {"I": 1, "L": 2**40, "D": 0.1, "N": "1.5", "S": 'é"\\', "F": True, "A": [1, None, "2.25"]},
    {"I": -1, "D": "NaN", "S": ""},
    {"D": "-Infinity", "A": []},
    {"D": -0.0, "N": -0.0, "S": "\ud800"},
    None,
    {},
]
READERS = {
    "the same columns": "CREATE STREAM out WITH (kafka_topic='out') AS SELECT * FROM mid;",
    "other columns": (
        "CREATE STREAM other (k STRING KEY, s STRING, zz INT, n DECIMAL(6, 2)) WITH (kafka_topic='mid', value_format='JSON');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT * FROM other;"
    ),
    "no key": (
        "CREATE STREAM other (s STRING, a ARRAY<DECIMAL(6, 2)>)"
        " WITH (kafka_topic='mid', value_format='JSON', key_format='NONE');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT s, a, ROWTIME AS seen, ROWOFFSET AS o FROM other"
        " PARTITION BY s;"
    ),
    "other types": (
        "CREATE STREAM other (k STRING KEY, i STRING, n DOUBLE, l INT, a STRING) WITH (kafka_topic='mid', value_format='JSON');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT * FROM other;"
    ),
    "names in another case": (
        "CREATE STREAM other (k STRING KEY, `s` STRING, `I` INT) WITH (kafka_topic='mid', value_format='JSON');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT * FROM other;"
    ),
    "a table": (
        "CREATE TABLE other (k STRING PRIMARY KEY, i INT, s STRING) WITH (kafka_topic='mid', value_format='JSON');"
        "CREATE TABLE out WITH (kafka_topic='out') AS SELECT s, COUNT(*) AS n FROM other GROUP BY s;"
    ),
    "a stream and a table, joined": (
        "CREATE TABLE last WITH (kafka_topic='last') AS SELECT k, LATEST_BY_OFFSET(i) AS i, COUNT(*) AS n FROM mid GROUP BY k;"
        "CREATE TABLE again (k STRING PRIMARY KEY, n BIGINT) WITH (kafka_topic='last', value_format='JSON');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT m.k AS k, m.s AS s, a.n AS n FROM mid m JOIN again a ON m.k = a.k;"
    ),
    "two streams over it, joined": (
        "CREATE STREAM other (k STRING KEY, s STRING) WITH (kafka_topic='mid', value_format='JSON');"
        "CREATE STREAM out WITH (kafka_topic='out') AS SELECT m.k AS k, m.i AS i, o.s AS s FROM mid m"
        " JOIN other o WITHIN 1 MINUTE ON m.k = o.k;"
    ),
    "its own records too": "CREATE STREAM out WITH (kafka_topic='out') AS SELECT * FROM mid WHERE i IS NOT NULL;",
    "groups": "CREATE TABLE out WITH (kafka_topic='out') AS SELECT s, COLLECT_LIST(n) AS n FROM mid GROUP BY s;",
}


def run(sql: str, *, as_bytes: bool) -> tuple[list[InputRecord], list[tuple[Any, ...]]]:
    """What reaches the topic `out`, with somebody who wants the bytes of `mid` or without; and what queries counted."""
    engine = LocalEngine(3, {"ksql.streams.auto.offset.reset": "earliest"}, clock=lambda: 0)
    written: list[InputRecord] = []
    middle: list[InputRecord] = []
    engine.listen("out", written.extend)
    if as_bytes:
        engine.listen("mid", middle.extend)
    engine.run(SOURCE + WRITE + sql)
    keys = [b"a", b"b", b"", None]
    given = [
        InputRecord("in", 0, n, keys[n % 4], None if v is None else orjson.dumps(v) if n != 3 else SURROGATE, n)
        for n, v in enumerate(VALUES)
    ]
    other = [r._replace(topic="mid", value=b'{"I": 7}') for r in given[:2]] if "IS NOT NULL" in sql else []
    engine.feed(given)
    engine.feed([*other, *given])
    assert bool(middle) == as_bytes
    counts = [(q.consumed, q.produced, q.errors, q.skipped, q.failure) for q in engine.queries.values()]
    return written, counts


SURROGATE = b'{"D": -0.0, "N": -0.0, "S": "\\ud800"}'


@pytest.mark.parametrize("sql", READERS.values(), ids=READERS)
def test_rows_are_what_is_read_of_their_bytes(sql: str) -> None:
    found, counts = run(sql, as_bytes=False)
    assert (found, counts) == run(sql, as_bytes=True)
    assert found
