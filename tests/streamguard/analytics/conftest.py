"""One engine and one small lake for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from streamguard.analytics.quiet import quiet
from streamguard.analytics.rates import Rates
from streamguard.analytics.session import spark
from tests.streamguard.analytics.data import Made, make


@pytest.fixture(scope="package")
def rates() -> Rates:
    """Not those of the file, so that a test does not change when they do."""
    return Rates(
        flat=Decimal("0.02"),
        bands=(Decimal(100), Decimal(1000)),
        band_rates=(Decimal("0.01"), Decimal("0.02"), Decimal("0.03")),
        categories={"grocery": Decimal("0.0125"), "electronics": Decimal("0.015001")},
        free_types=frozenset({"withdraw"}),
    )


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """pysail's server in a process of its own, and a session."""
    with quiet(), spark(tmp_path_factory.mktemp("engine")) as session:
        yield session


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Some three months of payments."""
    return make(tmp_path_factory.mktemp("small") / "lake", 9_000, 90)
