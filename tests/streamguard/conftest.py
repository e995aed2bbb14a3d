"""Fixtures of the application's suites: a broker that is shared and empty, a store on an empty database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient

from streamguard.config import get_settings, load_settings
from streamguard.consumer.records import Decoder
from streamguard.consumer.store import Store
from streamguard.database import apply_schema, make_engine
from streamguard.models.fields import MAX_TIME_MS
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.postgres import EmbeddedPostgres


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """Commands that run in this process have environments of their own."""
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def _process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker") / "log") as process:
        yield process


@pytest.fixture
def broker(_process: BrokerProcess) -> BrokerProcess:
    """A broker without topics: one process for all tests, started again after a test that killed it."""
    assert _process.process is not None
    if _process.process.poll() is not None:
        _process.start()
    admin = KafkaAdminClient(bootstrap_servers=_process.address)
    try:
        admin.delete_topics(list(admin.list_topics()))
    finally:
        admin.close()
    return _process


@pytest.fixture
def topic() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def desk(postgres: EmbeddedPostgres) -> Iterator[Desk]:
    settings = load_settings(database_url=postgres.url(), consumer_group="test")
    engine = make_engine(settings)
    apply_schema(engine)
    yield Desk(settings, engine, Store(engine, settings), postgres, Decoder(settings, clock_ms=lambda: MAX_TIME_MS))
    engine.dispose()
