"""Random SELECT, WHERE and GROUP BY over JSON records, through a whole query, against the same readings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import input_record
from tests.streamguard_ksql.differential.examples import values
from tests.streamguard_ksql.differential.reading import NoValue, Silent
from tests.streamguard_ksql.differential.terms import Term, term
from tests.streamguard_ksql.differential.test_expressions import CONSUMED, LOOSE, UNORDERED, alike

COLUMNS = {
    "A": "INT",
    "B": "BIGINT",
    "S": "STRING",
    "Z": "BOOLEAN",
    "L": "ARRAY<INT>",
    "M": "MAP<STRING,INT>",
    "D": "DOUBLE",
}
RESULTS = ("INT", "BIGINT", "STRING", "BOOLEAN", "ARRAY<INT>", "ARRAY<STRING>", "DOUBLE")
SOURCE = (
    f"CREATE STREAM s (id INT KEY, {', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}) "
    "WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
)


@dataclass(frozen=True)
class Example:
    """A query over rows; `where` and `by` are None where it has no such clause."""

    select: Term
    where: Term | None
    by: Term | None
    rows: Sequence[dict[str, Any]]

    @property
    def sql(self) -> str:
        where = f"WHERE {self.where.sql}" if self.where else ""
        if self.by is None:
            return f"CREATE STREAM o AS SELECT id, {self.select.sql} AS c FROM s {where};"
        by = self.by.sql
        return f"CREATE TABLE o AS SELECT {by} AS k, COUNT({self.select.sql}) AS c FROM s {where} GROUP BY {by};"


@st.composite
def examples(draw: Any) -> Example:
    select = term(draw, draw(st.sampled_from(RESULTS)), 2, COLUMNS)
    where = term(draw, "BOOLEAN", 2, COLUMNS) if draw(st.booleans()) else None
    by = term(draw, draw(st.sampled_from(["INT", "STRING"])), 1, COLUMNS) if draw(st.integers(0, 2)) == 0 else None
    row = st.fixed_dictionaries({name: values(kind).filter(is_written) for name, kind in COLUMNS.items()})
    found = Example(select, where, by, draw(st.lists(row, min_size=1, max_size=4)))
    assume(not any(name in found.sql for name in (*CONSUMED, *UNORDERED)))
    assume(by is None or any(f"{name}" in by.sql for name in COLUMNS))
    return found


def worth(made: Term, row: dict[str, Any]) -> Any:
    try:
        return made.read(row)
    except NoValue:
        return None


def is_written(value: Any) -> bool:
    """Whether JSON has the value as it is."""
    return not isinstance(value, float) or (math.isfinite(value) and value != 0)


def by_manual(example: Example) -> list[tuple[Any, Any]]:
    numbered = enumerate(example.rows)
    given = [(i, row) for i, row in numbered if example.where is None or worth(example.where, row) is True]
    if example.by is None:
        return [(i, worth(example.select, row)) for i, row in given]
    found: list[tuple[Any, Any]] = []
    groups: dict[Any, int] = {}
    for _, row in given:
        key = worth(example.by, row)
        if key is not None:
            groups[key] = groups.get(key, 0) + (worth(example.select, row) is not None)
            found.append((key, groups[key]))
    return found


def by_engine(example: Example) -> list[tuple[Any, Any]]:
    harness = Harness({"auto.offset.reset": "earliest"})
    harness.run_script(SOURCE + example.sql)
    for i, row in enumerate(example.rows):
        harness.feed(input_record(harness, {"topic": "s", "key": i, "value": row, "timestamp": i}))
    harness.settle()
    assert not harness.failures, harness.failures
    is_text = example.by is not None and example.by.kind == "STRING"
    read = bytes.decode if is_text else lambda data: int.from_bytes(data, "big", signed=True)
    return [(read(r.key or b""), json.loads(r.value or b"null")["C"]) for r in harness.written]


def check(example: Example) -> None:
    try:
        expected = by_manual(example)
    except Silent:
        assume(False)
    assume(all(is_written(value) for _, value in expected))
    assume(not any("\ud800" <= c <= "\udfff" for c in json.dumps(expected, ensure_ascii=False)))
    try:
        found = by_engine(example)
    except KsqlError as error:
        # As recorded: some types cannot be compared, or be keys.
        raise AssertionError(f"{example.sql}\nis refused: {error}") from None
    assert alike([list(pair) for pair in found], [list(pair) for pair in expected]), (
        f"{example.sql}: {found}, {expected}"
    )


@settings(LOOSE, max_examples=150, derandomize=True)
@given(examples())
def test_queries(example: Example) -> None:
    check(example)


@pytest.mark.soak
@settings(LOOSE, max_examples=5_000)
@given(examples())
def test_many_queries(example: Example) -> None:
    check(example)
