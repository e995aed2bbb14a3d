"""PROTOBUF_NOSR: the bytes of the examples of Protocol Buffers' page on encoding, and what is written reads back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streamguard_ksql import types
from streamguard_ksql.errors import FatalRecordError, SerializationError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.schema import Column

FORMAT = find_format("PROTOBUF_NOSR")


def write(*fields: tuple[types.SqlType, Any]) -> bytes | None:
    columns = [Column(f"C{i}", sql_type) for i, (sql_type, _) in enumerate(fields)]
    return FORMAT.serializer(columns, FormatOptions(), key=False)([value for _, value in fields])


def read(data: bytes, *column_types: types.SqlType) -> list[Any]:
    columns = [Column(f"C{i}", sql_type) for i, sql_type in enumerate(column_types)]
    return list(FORMAT.deserializer(columns, FormatOptions(), key=False)(data) or ())


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ([(types.INTEGER, 150)], "089601"),
        ([(types.INTEGER, 0), (types.STRING, "testing")], "120774657374696e67"),
        ([(types.BIGINT, -2)], "08feffffffffffffffff01"),
        ([(types.Struct((("A", types.INTEGER),)), {"A": 150})], "0a03089601"),
        ([(types.Array(types.STRING), ["a", "b"])], "0a01610a0162"),
        ([(types.TIMESTAMP, 1500)], "0a0808011080cab5ee01"),
    ],
)
def test_the_bytes_of_a_message(fields: list[tuple[types.SqlType, Any]], data: str) -> None:
    written = write(*fields)
    assert written is not None and written.hex() == data
    assert read(written, *(sql_type for sql_type, _ in fields)) == [value for _, value in fields]


def test_what_is_null_reads_as_nothing_of_its_type() -> None:
    column_types = [types.INTEGER, types.STRING, types.BOOLEAN, types.Array(types.INTEGER), types.DATE]
    written = write(*((sql_type, None) for sql_type in column_types))
    assert written == b"" and read(written, *column_types) == [0, "", False, [], None]


def test_packed_numbers_are_read() -> None:
    assert read(bytes.fromhex("0a0403 8e02 05".replace(" ", "")), types.Array(types.INTEGER)) == [[3, 270, 5]]


def test_a_null_in_an_array_ends_the_query() -> None:
    with pytest.raises(FatalRecordError, match="NULL"):
        write((types.Array(types.INTEGER), [None, 7]))


@pytest.mark.parametrize("data", ["08", "0a05aa", "0bff", "0a02c328", "0d000000"])
def test_what_is_no_message_is_an_error_of_its_record(data: str) -> None:
    with pytest.raises(SerializationError):
        read(bytes.fromhex(data), types.STRING)


_ROWS = st.tuples(
    st.integers(types.INT_MIN, types.INT_MAX),
    st.integers(types.BIGINT_MIN, types.BIGINT_MAX),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.decimals(-(10**15), 10**15, places=4),
    st.integers(-700_000, 2_000_000),
    st.integers(0, 86_399_999),
    st.integers(-(10**14), 10**14),
    st.lists(st.lists(st.integers(-5, 5))),
    st.dictionaries(st.text(alphabet="abc"), st.floats(allow_nan=False)),
)
_TYPES: list[types.SqlType] = [
    types.INTEGER,
    types.BIGINT,
    types.DOUBLE,
    types.STRING,
    types.BYTES,
    types.Decimal(20, 4),
    types.DATE,
    types.TIME,
    types.TIMESTAMP,
    types.Array(types.Array(types.INTEGER)),
    types.Map(types.STRING, types.DOUBLE),
]


@given(_ROWS)
def test_rows_come_back(row: tuple[Any, ...]) -> None:
    written = write(*zip(_TYPES, row, strict=True))
    assert written is not None and read(written, *_TYPES) == list(row)
    assert all(not isinstance(value, Decimal) or value.as_tuple().exponent == -4 for value in read(written, *_TYPES))
