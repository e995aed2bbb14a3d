"""A store on an empty database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from streamguard.config import load_settings
from streamguard.consumer.records import Batch, Decoder
from streamguard.consumer.store import Store
from streamguard.database import lay_schema, make_engine
from tests.support.postgres import EmbeddedPostgres
from tests.support.records import Record


@dataclass
class Desk:
    """A store, its database, and the offsets a consumer would hold in memory."""

    engine: Engine
    store: Store
    postgres: EmbeddedPostgres
    decoder: Decoder

    def feed(self, *records: Record) -> int:
        """Store these records as one batch; returns the number of dead letters."""
        by_partition: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        positions = self.store.offsets(by_partition)
        batch = Batch()
        for partition, found in by_partition.items():
            self.decoder.add(batch, positions[partition], found)
        return self.store.write(batch)

    def rows(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        return self.postgres.query(statement, *arguments)


@pytest.fixture
def desk(postgres: EmbeddedPostgres) -> Iterator[Desk]:
    engine = make_engine(load_settings(database_url=postgres.url()))
    lay_schema(engine)
    yield Desk(engine, Store(engine, "test"), postgres, Decoder("fraud_alerts", 1_048_576))
    engine.dispose()
