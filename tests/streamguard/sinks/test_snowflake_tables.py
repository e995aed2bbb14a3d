"""How rows are put together for a statement of Snowflake."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.sinks import snowflake_tables
from streamguard.sinks.snowflake_tables import arrays
from tests.streamguard.sinks.examples import decision

CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.lists(CELLS, max_size=4)))
def test_arrays_have_all_rows_in_order_and_stay_small(rows: list[list[object]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snowflake_tables, "_MOST_BYTES", 40)
        found = list(arrays(rows))
    assert [row for array in found for row in orjson.loads(array)] == rows
    assert all(len(orjson.loads(array)) == 1 or len(array.encode()) <= 40 + len("[]") for array in found)


def test_a_text_in_a_column_has_no_nul() -> None:
    """Snowflake's parser of JSON need not take one."""
    [row] = snowflake_tables.rows({"decisions": "decisions"}, [decision(0, reason="a\x00b")])["decisions"]
    assert "a\ufffdb" in row
