"""Records decoded on the fast path are what the slow path makes of them, whatever was decoded before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from streamguard_ksql.errors import SerializationError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.formats.json_plain import MOST_SHAPES, PlainObjects
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, STRING

COLUMNS = [
    Column("ID", STRING),
    Column("AMOUNT", DOUBLE),
    Column("count", INTEGER),
    Column("TIME", BIGINT),
    Column("OK", BOOLEAN),
]

_NAMES = st.sampled_from(
    [
        "ID",
        "id",
        "Id",
        "AMOUNT",
        "amount",
        "count",
        "COUNT",
        "TIME",
        "time",
        "OK",
        "ok",
        "other",
        "é",
        "",
        'q"r',
        "b\\c",
        "n\n",
    ]
)
_NUMBERS = st.sampled_from(
    "-0 0 -0.0 5 1.0 1e3 1.5 1e400 -1e400 1e-400 NaN Infinity 2147483647 2147483648 -2147483649 9223372036854775807 "
    "9223372036854775808 -9223372036854775809 12345678901234567890123 1.7976931348623157e308".split()
)
_TEXTS = st.text(max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False))
_VALUES = st.one_of(
    _NUMBERS,
    _TEXTS,
    st.sampled_from(["null", "true", "false", "{}", "[1]", r'"\ud800"', '"12"', '"1.5"', "tru", '"\x01"']),
)
_OBJECTS = st.lists(st.tuples(_NAMES, _VALUES), max_size=7).map(
    lambda fields: ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields) + "}").encode(
        "utf-8", "replace"
    )
)
_RECORDS = st.one_of(_OBJECTS, st.sampled_from([b"null", b"[]", b"1", b"", b"{", b'{"ID":"\xff"}', b' {"ID" : "x"} ']))


def _reads(read: Any, data: bytes) -> Any:
    """The row, with -0.0 and 0, 1 and True distinguished; or the message of the refusal."""
    try:
        row = read(data)
    except SerializationError as error:
        return str(error)
    return None if row is None else [repr(value) for value in row]


def _fresh(columns: Sequence[Column] = COLUMNS) -> Any:
    return find_format("JSON").deserializer(columns, FormatOptions(), key=False)


@given(st.lists(_RECORDS, min_size=1, max_size=12))
def test_what_was_read_before_makes_no_difference(records: list[bytes]) -> None:
    read = _fresh()
    for data in records:
        # A new deserializer reads its first record on the slow path.
        assert _reads(read, data) == _reads(_fresh(), data)


def test_columns_that_differ_only_in_case() -> None:
    columns = [Column("count", INTEGER), Column("COUNT", INTEGER)]
    read = _fresh(columns)
    for data in (b'{"COUNT": 1}', b'{"COUNT": 2, "count": 3}', b'{"Count": 4}'):
        assert _reads(read, data) == _reads(_fresh(columns), data)


def test_a_name_that_cannot_be_learned_spoils_no_other_record() -> None:
    read = _fresh()
    for name in ('q"r', "b\\c", "n\n", "\0"):
        odd = json.dumps({"ID": "x", name: 1}).encode()
        assert _reads(read, odd) == ["'x'", "None", "None", "None", "None"]
    assert _reads(read, b'{"ID": "y", "new": 1}') == ["'y'", "None", "None", "None", "None"]


def test_records_alike_are_read_the_quick_way() -> None:
    asked = []

    def slow(parsed: Any) -> list[Any]:
        asked.append(parsed)
        return [parsed.get("id"), parsed.get("amount")]

    read = PlainObjects([Column("ID", STRING), Column("AMOUNT", DOUBLE)], json.loads, slow).read
    for number in range(10):
        assert list(read(b'{"id": "%d", "amount": %d, "extra": [1]}' % (number, number)) or ()) == [str(number), number]
    assert len(asked) == 1
    assert read(b'{"amount": 5}') == [None, 5], "a missing name is part of the shape"
    assert read(b'{"amount": null}') == (None, None)
    assert len(asked) == 2


def test_names_that_go_on_changing_are_not_learned_for_ever() -> None:
    quick = PlainObjects([Column("ID", STRING), Column("AMOUNT", DOUBLE)], json.loads, lambda parsed: [None, None])
    for number in range(3 * MOST_SHAPES):
        quick.read(b'{"name%d": 1}' % number)
    assert len(quick._known) == MOST_SHAPES
