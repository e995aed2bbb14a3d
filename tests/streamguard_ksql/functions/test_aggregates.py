"""Aggregates: what they give row by row, taken back, merged, and after their state went through bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.errors import FatalRecordError, KsqlError
from streamguard_ksql.functions import sketch
from streamguard_ksql.functions.registry import FUNCTIONS, CallSite
from streamguard_ksql.functions.resolve import resolve
from streamguard_ksql.types import BIGINT, BOOLEAN, DATE, DOUBLE, INTEGER, STRING, Array, SqlType
from streamguard_ksql.types import Decimal as DecimalType


def aggregate(
    name: str, types: Sequence[SqlType], *constants: Any, config: dict[str, Any] | None = None, merges: bool = True
) -> Any:
    """An instance for columns of these types, with constants behind them."""
    of_constants = [BOOLEAN if isinstance(constant, bool) else INTEGER for constant in constants]
    literals = {len(types) + index: constant for index, constant in enumerate(constants)}
    resolved = resolve(name, [*types, *of_constants], literals)
    assert resolved.columns == len(types)
    return resolved.variant.body(CallSite(resolved.parameters, resolved.returns, literals, config or {}, merges=merges))


def results(instance: Any, rows: Sequence[Any]) -> list[Any]:
    state, shown = instance.initial(), []
    for row in rows:
        state = instance.add(state, row)
        shown.append(instance.result(state))
    return shown


def last(instance: Any, rows: Sequence[Any]) -> Any:
    state = instance.initial()
    for row in rows:
        state = instance.add(state, row)
    return instance.result(state)


CASES: list[tuple[str, list[SqlType], tuple[Any, ...], list[Any], list[Any]]] = [
    ("COUNT", [STRING], (), ["a", None, "b"], [1, 1, 2]),
    ("SUM", [INTEGER], (), [None, 2**31 - 1, 1], [0, 2**31 - 1, -(2**31)]),
    ("SUM", [BIGINT], (), [2**63 - 1, 1], [2**63 - 1, -(2**63)]),
    ("SUM", [DOUBLE], (), [None, 0.5, 0.25], [0.0, 0.5, 0.75]),
    ("SUM", [DecimalType(4, 2)], (), [None, Decimal("1.10"), Decimal("-2.00")], ["0.00", "1.10", "-0.90"]),
    ("SUM_LIST", [Array(INTEGER)], (), [[1, None, 2], None, []], [3, 3, 3]),
    ("AVG", [INTEGER], (), [None, 1, 2], [0.0, 1.0, 1.5]),
    ("AVG", [DOUBLE], (), [0.5, None], [0.5, 0.5]),
    ("MIN", [STRING], (), [None, "b", "a", "c"], [None, "b", "a", "a"]),
    ("MAX", [DATE], (), [5, None, 7, 6], [5, 5, 7, 7]),
    ("STDDEV_SAMP", [BIGINT], (), [0, 10, None], [0.0, 50.0, 50.0]),
    ("STDDEV_SAMPLE", [DOUBLE], (), [10.0, 12.0, 13.0], [0.0, math.sqrt(2), 1.5275252316519465]),
    ("CORRELATION", [DOUBLE, DOUBLE], (), [[1.0, 2.0], [2.0, 4.0], [3.0, None]], ["NaN", 1.0, 1.0]),
    ("COLLECT_LIST", [STRING], (), ["a", None, "a"], [["a"], ["a", None], ["a", None, "a"]]),
    ("COLLECT_SET", [STRING], (), ["a", None, "a"], [["a"], ["a", None], ["a", None]]),
    ("HISTOGRAM", [STRING], (), ["a", None, "a"], [{"a": 1}, {"a": 1, None: 1}, {"a": 2, None: 1}]),
    ("ATTR", [INTEGER], (), [1, 1, 2], [1, 1, None]),
    ("ATTR", [INTEGER], (), [None, 1], [None, None]),
    ("COUNT_DISTINCT", [STRING], (), ["a", "b", "a", None], [1, 2, 2, 2]),
    ("LATEST_BY_OFFSET", [STRING], (), ["a", None, "b"], ["a", "a", "b"]),
    ("LATEST_BY_OFFSET", [STRING], (False,), ["a", None], ["a", None]),
    ("LATEST_BY_OFFSET", [INTEGER], (2,), [1, None, 2, 3], [[1], [1], [1, 2], [2, 3]]),
    ("LATEST_BY_OFFSET", [INTEGER], (2, False), [1, None, 2], [[1], [1, None], [None, 2]]),
    ("EARLIEST_BY_OFFSET", [STRING], (), [None, "a", "b"], [None, "a", "a"]),
    ("EARLIEST_BY_OFFSET", [STRING], (False,), [None, "a"], [None, None]),
    ("EARLIEST_BY_OFFSET", [INTEGER], (2,), [None, 1, 2, 3], [[], [1], [1, 2], [1, 2]]),
    ("EARLIEST_BY_OFFSET", [INTEGER], (1, False), [None, 1], [[None], [None]]),
    ("TOPK", [BIGINT], (2,), [5, None, 7, 5, 9], [[5], [5], [7, 5], [7, 5], [9, 7]]),
    ("TOPKDISTINCT", [INTEGER], (2,), [5, 5, None, 7, 9], [[5], [5], [5], [7, 5], [9, 7]]),
]


@pytest.mark.parametrize(("name", "types", "constants", "rows", "expected"), CASES)
def test_row_by_row(
    name: str, types: list[SqlType], constants: tuple[Any, ...], rows: list[Any], expected: list[Any]
) -> None:
    found = results(aggregate(name, types, *constants), rows)
    shown = [str(v) if isinstance(v, Decimal) else "NaN" if v != v else v for v in found]
    assert shown == expected


def test_topk_with_columns() -> None:
    resolved = resolve("TOPK", [INTEGER, STRING, DOUBLE, INTEGER], {3: 2})
    assert str(resolved.returns) == "ARRAY<STRUCT<`sort_col` INTEGER, `col0` STRING, `col1` DOUBLE>>"
    instance = aggregate("TOPK", [INTEGER, STRING, DOUBLE], 2)
    rows = [[1, "a", 0.1], [None, "n", 0.0], [3, None, 0.3], [3, "later", 0.4]]
    assert last(instance, rows) == [
        {"sort_col": 3, "col0": None, "col1": 0.3},
        {"sort_col": 3, "col0": "later", "col1": 0.4},
    ]


def test_limits() -> None:
    limited = aggregate("COLLECT_LIST", [INTEGER], config={"ksql.functions.collect_list.limit": "2"})
    assert last(limited, [1, 2, 3]) == [1, 2]
    limited = aggregate("COLLECT_SET", [INTEGER], config={"ksql.functions.collect_set.limit": 1})
    assert last(limited, [1, 1, 3]) == [1]
    histogram = last(aggregate("HISTOGRAM", [STRING]), [str(n) for n in range(1100)])
    assert len(histogram) == 1000
    for name in ("TOPK", "LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET"):
        with pytest.raises(KsqlError, match="1 or greater"):
            aggregate(name, [INTEGER], 0)


def test_a_decimal_sum_never_leaves_its_type() -> None:
    total = aggregate("SUM", [DecimalType(4, 2)])
    full = total.add(total.initial(), Decimal("99.99"))
    assert total.add(full, Decimal("0.00")) == Decimal("99.99")
    assert total.undo(full, Decimal("99.99")) == 0
    for change in (total.add, total.merge):
        with pytest.raises(FatalRecordError, match=r"100\.00, which does not fit DECIMAL\(4, 2\)"):
            change(full, Decimal("0.01"))
    with pytest.raises(FatalRecordError, match="-100"):
        total.undo(total.undo(full, Decimal("99.99")), Decimal("100.00"))


def test_count_without_arguments() -> None:
    resolved = resolve("COUNT", [])
    assert resolved.returns == BIGINT and resolved.columns == 1


UNDOABLE = {"COUNT", "SUM", "SUM_LIST", "AVG", "STDDEV_SAMP", "STDDEV_SAMPLE", "CORRELATION", "COLLECT_LIST"} | {
    "HISTOGRAM",
    "ATTR",
}


def test_which_may_run_over_tables() -> None:
    found = {
        name
        for name, function in FUNCTIONS.items()
        if function.kind == "AGGREGATE" and all(hasattr(variant.body, "undo") for variant in function.variants)
    }
    assert found == UNDOABLE


INTEGERS = st.lists(st.none() | st.integers(-1000, 1000), max_size=12)


@pytest.mark.parametrize("name", sorted(UNDOABLE - {"SUM_LIST", "CORRELATION", "HISTOGRAM"}))
@given(kept=INTEGERS, gone=INTEGERS)
def test_what_is_taken_back_leaves_no_trace(name: str, kept: list[int | None], gone: list[int | None]) -> None:
    instance = aggregate(name, [INTEGER])
    state = instance.initial()
    for value in [*kept, *gone]:
        state = instance.add(state, value)
    for value in reversed(gone):
        state = instance.undo(state, value)
    found, expected = instance.result(state), last(instance, kept)
    assert found == pytest.approx(expected, abs=1e-3) if isinstance(expected, float) else found == expected


MERGED = ["COUNT", "SUM", "AVG", "MIN", "MAX", "COLLECT_LIST", "COLLECT_SET", "ATTR", "COUNT_DISTINCT", "STDDEV_SAMP"]


@pytest.mark.parametrize(("name", "expected"), [("LATEST_BY_OFFSET", [2, 3]), ("EARLIEST_BY_OFFSET", [1, 2])])
def test_values_by_offset_go_on_from_the_pairs_of_an_earlier_version(name: str, expected: list[int]) -> None:
    instance = aggregate(name, [INTEGER], 2)
    assert instance.result(instance.add([[1, 1], [2, 2]], 3)) == expected
    assert instance.result(instance.add([[1, 1], [2, 2]], None)) == [1, 2]
    assert instance.result(instance.merge([[1, 1], [4, 3]], [2, 2])) == expected


@pytest.mark.parametrize("state", [[[1, 1], [2, 2]], [1, 1, 2, 2], [None, 1, 2]])
def test_latest_values_without_merging_go_on_from_those_of_earlier_versions(state: list[Any]) -> None:
    instance = aggregate("LATEST_BY_OFFSET", [INTEGER], 2, merges=False)
    assert instance.result(state) == [1, 2]
    assert instance.result(instance.add(list(state), 3)) == [2, 3]
    assert instance.result(instance.add(list(state), None)) == [1, 2]
    assert instance.result([]) == [] == instance.result(instance.add([], None))


@pytest.mark.parametrize("state", [[1, 7], 7])
def test_the_latest_value_without_merging_goes_on_from_that_of_an_earlier_version(state: Any) -> None:
    instance = aggregate("LATEST_BY_OFFSET", [INTEGER], merges=False)
    assert instance.result(state) == 7
    assert instance.result(instance.add(state, None)) == 7
    assert instance.result(instance.add(state, 8)) == 8


@pytest.mark.parametrize("constants", [(), (False,), (2,), (2, False)])
@given(rows=INTEGERS)
def test_the_latest_values_are_the_same_with_merging_and_without(
    constants: tuple[Any, ...], rows: list[int | None]
) -> None:
    with_numbers, without = (aggregate("LATEST_BY_OFFSET", [INTEGER], *constants, merges=m) for m in (True, False))
    assert results(without, rows) == results(with_numbers, rows)


@given(rows=st.lists(st.none() | st.lists(st.integers(0, 3), max_size=3), max_size=6))
def test_the_latest_array_is_the_same_with_merging_and_without(rows: list[list[int] | None]) -> None:
    with_numbers, without = (aggregate("LATEST_BY_OFFSET", [Array(INTEGER)], merges=m) for m in (True, False))
    assert results(without, rows) == results(with_numbers, rows)


@pytest.mark.parametrize("name", ["LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET"])
@given(left=INTEGERS, right=INTEGERS, limit=st.integers(1, 3))
def test_several_values_by_offset_merge_into_one(
    name: str, left: list[int | None], right: list[int | None], limit: int
) -> None:
    instance = aggregate(name, [INTEGER], limit)
    first, second = instance.initial(), instance.initial()
    for value in left:
        first = instance.add(first, value)
    for value in right:
        second = instance.add(second, value)
    assert instance.result(instance.merge(first, second)) == last(instance, left + right)


@pytest.mark.parametrize("name", [*MERGED, "LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET"])
@given(left=INTEGERS, right=INTEGERS)
def test_two_groups_merge_into_one(name: str, left: list[int | None], right: list[int | None]) -> None:
    instance = aggregate(name, [INTEGER])
    first, second = instance.initial(), instance.initial()
    for value in left:
        first = instance.add(first, value)
    for value in right:
        second = instance.add(second, value)
    found, expected = instance.result(instance.merge(first, second)), last(instance, left + right)
    assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected


def test_the_later_offset_wins_when_sessions_merge() -> None:
    instance = aggregate("LATEST_BY_OFFSET", [STRING])
    late_in_time = instance.add(instance.initial(), "first offset")
    early_in_time = instance.add(instance.initial(), "second offset")
    assert instance.result(instance.merge(early_in_time, late_in_time)) == "second offset"


def test_large_cardinalities_are_estimated() -> None:
    state = sketch.empty()
    for number in range(20_000):
        state = sketch.add(state, sketch.fingerprint(number))
    assert "registers" in state
    assert sketch.count(state) == pytest.approx(20_000, rel=0.05)
