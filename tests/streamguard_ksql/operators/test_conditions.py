"""Conditions that queries share: each query writes, leaves out and reports what it does alone."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest

from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord

STREAM = (
    "CREATE STREAM t (k STRING KEY, a INT, b INT, s STRING, f BOOLEAN, seen BIGINT)"
    " WITH (kafka_topic='in', value_format='JSON', timestamp='seen');"
)
VALID = "a > 0 AND 10 / b > 1 AND LEN(s) < 4 AND k <> 'bad' AND seen < UNIX_TIMESTAMP()"
WHERES = [
    VALID,
    f"{VALID} AND f",
    f"s LIKE 'x%' AND {VALID}",
    f"100 / (a - 5) > 0 AND {VALID} AND b + 1 > 0",
    f"{VALID} AND a > 3",
    f"a > 3 AND {VALID}",
    "a > 3",
    "RANDOM() < 2 AND a > 0",
    "ROWTIME > 10 AND a > 0 AND ROWPARTITION = 0",
    f"({VALID}) OR s = 'or'",
]
RECORDS: list[tuple[str | None, Any]] = [
    (key, {"A": a, "B": b, "S": s, "F": f, "SEEN": at})
    for key, a, b, s, f, at in [
        ("k", 1, 2, "x", True, 20),
        ("k", 4, 2, "x", False, 20),
        ("k", 5, 2, "xy", True, 20),
        ("k", 9, 0, "x", True, 20),
        ("k", 9, 0, "y", None, 20),
        ("k", None, 2, "x", True, 20),
        ("k", 0, None, "x", True, 20),
        ("k", 7, 3, None, True, 20),
        ("k", 7, 3, "or", True, 5_000),
        ("bad", 7, 3, "x", True, 20),
        (None, 7, 3, "x", True, 20),
        ("k", 7, 3, "x", True, -1),
        ("k", 7, 3, "x", True, None),
    ]
]


def run(wheres: list[str]) -> tuple[list[Any], LocalEngine, int]:
    """For each WHERE what was written, counted and reported; and how often the clock was asked."""
    asked = 0

    def clock() -> int:
        nonlocal asked
        asked += 1
        return 1_000

    engine = LocalEngine(clock=clock)
    written: dict[str, list[Any]] = {}
    engine.run(STREAM)
    for where in wheres:
        number = WHERES.index(where)
        engine.run(f"CREATE STREAM o{number} WITH (kafka_topic='o{number}') AS SELECT k, a, b, s FROM t WHERE {where};")
        written[where] = []
        engine.listen(f"o{number}", written[where].extend)
    asked = 0
    records = [
        InputRecord("in", 0, n, None if k is None else k.encode(), orjson.dumps(v), n)
        for n, (k, v) in enumerate(RECORDS)
    ]
    engine.feed([*records, InputRecord("in", 0, 90, b"k", b"{", 0), InputRecord("in", 0, 91, b"k", None, 0)])
    queries = list(engine.queries.values())
    results = []
    for where, query in zip(wheres, queries, strict=True):
        reported = sorted(
            (e.kind, e.message, str(e.row)) for e in engine.errors if e.logger.startswith(query.query.query_id)
        )
        results.append((written[where], query.skipped, query.errors, reported))
    return results, engine, asked


def test_together_they_do_what_each_does_alone() -> None:
    alone = []
    for where in WHERES:
        results, engine, _ = run([where])
        alone += results
        del engine
        gc.collect()
    together, _, _ = run(WHERES)
    for where, found, expected in zip(WHERES, together, alone, strict=True):
        assert found == expected, where


def test_what_is_shared_is_evaluated_once() -> None:
    _, engine, alone = run(WHERES[:1])
    del engine
    gc.collect()
    _, _, together = run(WHERES[:6])
    valid = sum(1 for where in RECORDS if where[1]["SEEN"] == 20)
    assert alone <= valid
    assert together < 2 * valid, "once for all queries, and again for records that are not valid"


@pytest.mark.parametrize("order", [1, -1])
def test_a_query_that_comes_or_goes_changes_what_is_shared(order: int) -> None:
    engine = LocalEngine(clock=lambda: 1_000)
    written: list[InputRecord] = []
    engine.listen("o", written.extend)
    engine.run(STREAM)
    statements = [
        f"CREATE STREAM o AS SELECT k, a FROM t WHERE {VALID} AND a < 9;",
        f"CREATE STREAM p AS SELECT k, a FROM t WHERE a < 9 AND {VALID};",
        "CREATE STREAM q AS SELECT k, a FROM t WHERE a < 9;",
    ][::order]
    value = orjson.dumps(RECORDS[0][1])
    for n, statement in enumerate(statements):
        engine.run(statement.replace("STREAM o AS", "STREAM o WITH (kafka_topic='o') AS"))
        engine.feed([InputRecord("in", 0, n, b"k", value, n)])
    engine.run(f"TERMINATE {next(q for q in engine.queries if '_P_' in q)};")
    engine.feed([InputRecord("in", 0, 3, b"k", value, 3)])
    assert len(written) == (4 if order == 1 else 2)
