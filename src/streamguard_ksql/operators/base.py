"""The base of operators, and what they are given to run with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamguard_ksql.operators.record import OutputRecord, Record
from streamguard_ksql.operators.state import Stores

Receive = Callable[[int, list[Record]], None]
"""Where an operator passes a batch on: the partition that all its records belong to, and the records in order."""


@dataclass(frozen=True)
class ProcessingError:
    """An entry of the processing log. kind: DESERIALIZATION, RECORD_PROCESSING or SERIALIZATION."""

    logger: str
    kind: str
    message: str
    topic: str | None = None
    target: str | None = None
    record: bytes | None = None
    row: str | None = None
    cause: Sequence[str] = ()


class Skip:
    """Why a record is left out, as the figures of a query name it."""

    CORRUPT = "corrupt"
    """In a record batch whose CRC does not match."""
    DESERIALIZATION = "deserialization"
    """Key or value could not be read."""
    TIMESTAMP = "timestamp"
    """Without a time, or with one before 1970."""
    NULL_KEY = "null-key"
    """Without the key that a table, GROUP BY or a join needs."""
    LATE = "late"
    """Past the end and the grace of its window; counted for each window of a hopping one."""
    EXPRESSION = "expression"
    """A condition or a key could not be evaluated."""


@dataclass
class Runtime:
    """The surroundings of a query's operators: where results and errors go, and the state stores.

    `partitions` is the number of partitions that rekeyed rows are spread over, by the hash of their serialised key.
    `skipped` counts the records that were left out, by reason (see `Skip`).
    `limit_reached` and the like are the caller's; operators only call `output` and `log`.
    """

    query_id: str
    output: Callable[[OutputRecord], None]
    log: Callable[[ProcessingError], None]
    config: Mapping[str, Any] = field(default_factory=dict)
    stores: Stores = field(default_factory=Stores)
    partitions: int = 1
    logged: bool = True
    """Whether stores note what changes, for a changelog or for who asks for it."""
    steps: int = 0
    """Counts the parts of a batch that has many: who watches the query sees that it makes progress."""
    skipped: Counter[str] = field(default_factory=Counter)
    rows: Callable[[list[Record]], None] | None = None
    """Where results go that need not become bytes (see `sinks.gives_rows`); None where all have to."""

    def row_error(self, step: str, message: str, row: Any, skip: str = "") -> None:
        """Report a row that an expression had no value for; with `skip`, the reason, one that is left out."""
        if skip:
            self.skipped[skip] += 1
        self.log(ProcessingError(f"{self.query_id}.{step}", "RECORD_PROCESSING", message, row=repr(row)))


class Operator:
    """An operator gets batches in `receive` and passes batches to `emit`."""

    def __init__(self, emit: Receive) -> None:
        self.emit = emit

    def receive(self, partition: int, records: list[Record]) -> None:
        raise TypeError(f"{type(self).__name__} receives nothing")
