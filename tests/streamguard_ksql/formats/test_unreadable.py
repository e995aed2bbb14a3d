"""What a format cannot read is a SerializationError, whatever is wrong; an unpaired surrogate is written as Java does."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.errors import ROW_ERRORS, SerializationError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INTEGER, STRING, Array, Decimal, Map, Struct

SCALARS = [BOOLEAN, INTEGER, BIGINT, DOUBLE, Decimal(6, 2), STRING, BYTES, DATE]
NESTED = [Array(INTEGER), Map(STRING, DOUBLE), Struct((("A", INTEGER), ("B", Array(STRING))))]
COLUMNS = {
    "JSON": [Column(f"C{i}", t) for i, t in enumerate([*SCALARS, *NESTED])],
    "DELIMITED": [Column(f"C{i}", t) for i, t in enumerate(SCALARS)],
    "KAFKA": [Column("C0", BIGINT)],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", COLUMNS)
@given(data=st.binary(max_size=40) | st.text('{}[]":,C0123456789.eE-+ntrufalse\n', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    read = find_format(name).deserializer(COLUMNS[name], FormatOptions(), key=False)
    try:
        row = read(data)
    except (SerializationError, *ROW_ERRORS):
        return
    assert row is None or len(row) == len(COLUMNS[name])


@given(values=st.lists(JSON, min_size=len(COLUMNS["JSON"]), max_size=len(COLUMNS["JSON"])))
def test_any_json_object_is_read_or_refused(values: list[object]) -> None:
    columns = COLUMNS["JSON"]
    data = json.dumps({c.name: v for c, v in zip(columns, values, strict=True)}).encode()
    try:
        row = find_format("JSON").deserializer(columns, FormatOptions(), key=False)(data)
    except (SerializationError, *ROW_ERRORS):
        return
    assert row is not None and len(row) == len(columns)


def test_a_field_longer_than_csv_allows_is_refused() -> None:
    read = find_format("DELIMITED").deserializer([Column("A", STRING)], FormatOptions(), key=False)
    with pytest.raises(SerializationError, match="line of CSV"):
        read(b'"' + b"x" * (csv.field_size_limit() + 1) + b'"')


@pytest.mark.parametrize("name", ["KAFKA", "DELIMITED"])
def test_an_unpaired_surrogate_is_written_as_a_question_mark(name: str) -> None:
    write = find_format(name).serializer([Column("A", STRING)], FormatOptions(), key=False)
    assert write(["a\ud83d"]) == b"a?"
