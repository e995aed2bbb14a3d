"""Every job gives what a plain reading of the same payments gives: sums to the last digit, quotients to nine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from streamguard.analytics.catalogue import JOBS, Sources, load_jobs
from streamguard.analytics.rates import Rates
from streamguard.analytics.run import collect
from tests.streamguard.analytics.data import Made
from tests.streamguard.analytics.reading import Reading

load_jobs()


def sources_of(engine: Any, made: Made, rates: Rates, form: str = "delta") -> Sources:
    """The lake's tables, over the whole span of its payments."""
    times = [payment["event_time"] for payment in made.payments]
    read = engine.read.format(form)
    until = max(times) + timedelta(milliseconds=1)
    return Sources(
        read.load(str(made.lake / "transactions")), read.load(str(made.lake / "decisions")), rates, min(times), until
    )


def compare(found: dict[str, Any], expected: dict[str, list[dict[str, Any]]]) -> None:
    """The same tables with the same rows in the same order."""
    assert list(found) == list(expected)
    for name, table in found.items():
        rows = table.to_pylist()
        assert len(rows) == len(expected[name]) > 0, name
        for place, (row, wanted) in enumerate(zip(rows, expected[name], strict=True)):
            assert row.keys() == wanted.keys(), name
            for column, value in wanted.items():
                if isinstance(value, float):
                    value = pytest.approx(value, rel=1e-9)
                assert row[column] == value, (name, place, column)


@pytest.fixture(scope="module")
def reading(small: Made) -> Reading:
    times = [payment["event_time"] for payment in small.payments]
    return Reading(small.payments, small.decisions, min(times), max(times) + timedelta(milliseconds=1))


@pytest.mark.parametrize("name", sorted(JOBS))
def test_job_equals_plain_reading(name: str, engine: Any, small: Made, rates: Rates, reading: Reading) -> None:
    compare(collect(JOBS[name], sources_of(engine, small, rates)), getattr(reading, name)())
