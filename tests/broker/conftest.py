"""A broker for a test, and one shared by those that only need any."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import BrokerProcess


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A fresh broker that the test may stop, kill and start."""
    with BrokerProcess(tmp_path / "log") as running:
        yield running


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker for all tests that leave it alone."""
    with BrokerProcess(tmp_path_factory.mktemp("shared") / "log") as running:
        yield running


@pytest.fixture
def topic() -> str:
    """A name nobody else uses."""
    return f"topic-{uuid.uuid4().hex[:12]}"
