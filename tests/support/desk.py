"""A store on a database of a test, fed with records by hand."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from streamguard.config import Settings
from streamguard.consumer.records import Batch, Decoder
from streamguard.consumer.store import Store
from tests.support.postgres import EmbeddedPostgres
from tests.support.records import Record


@dataclass
class Desk:
    """A store, its database, and the offsets a consumer would hold in memory."""

    settings: Settings
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
        return self.store.write(batch).dead_letters

    def rows(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        return self.postgres.query(statement, *arguments)
