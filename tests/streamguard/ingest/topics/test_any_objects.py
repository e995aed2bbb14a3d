"""Whatever the objects of a topic: SQL that the engine takes, or one sentence."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.config import UserError
from streamguard.ingest.topics import Answers, Sample, connection_of
from streamguard.ingest.topics.sample import Raw
from streamguard.sqldeploy.script import read
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.testing.harness import Harness
from tests.support.project import PROJECT_ROOT

_odd = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$"), min_size=1, max_size=6)
_names = (
    st.sampled_from(
        "id account amount currency time select from Select rowtime a A b-c schema payload op after".split()
    )
    | _odd
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "12.50", "1.234,56", "EUR", "eur", "c", "2025-11-05", "2025-11-05T08:15:30Z", "03/04/2025"])
    | _odd,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
_TOLD = {"account_id": "key", "amount": "1.5", "currency": "EUR", "event_time": "ROWTIME"}


@given(st.lists(st.dictionaries(_names, _values, max_size=5), min_size=1, max_size=3), st.sampled_from([_TOLD, {}]))
@settings(max_examples=300, deadline=None)
def test_the_engine_takes_the_sql(objects: list[dict[str, Any]], told: dict[str, str]) -> None:
    records = [Raw(b"K", json.dumps(value).encode()) for value in objects]
    try:
        connection = connection_of(Sample("odd", records, len(records)), Answers(told))
    except UserError as error:
        assert "\n" not in str(error)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "odd.sql"
        file.write_text(connection.sql, encoding="utf-8")
        harness = Harness({})
        for item in [*read(PROJECT_ROOT / "ksqldb" / "queries.sql"), *read(file)]:
            harness.execute(item.statement)
    for record in records:
        harness.feed(OutputRecord("odd", record.key, record.value, 1_762_330_530_000))
    harness.settle()
    assert not harness.failures
