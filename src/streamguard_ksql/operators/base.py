"""The base of operators, and what they are given to run with."""

from __future__ import annotations

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


@dataclass
class Runtime:
    """The surroundings of a query's operators: where results and errors go, and the state stores.

    `partitions` is the number of partitions that rekeyed rows are spread over, by the hash of their serialised key.
    `limit_reached` and the like are the caller's; operators only call `output` and `log`.
    """

    query_id: str
    output: Callable[[OutputRecord], None]
    log: Callable[[ProcessingError], None]
    config: Mapping[str, Any] = field(default_factory=dict)
    stores: Stores = field(default_factory=Stores)
    partitions: int = 1
    steps: int = 0
    """Counts the parts of a batch that has many: who watches the query sees that it makes progress."""

    def row_error(self, step: str, message: str, row: Any) -> None:
        """Report a row that an expression had no value for."""
        self.log(ProcessingError(f"{self.query_id}.{step}", "RECORD_PROCESSING", message, row=repr(row)))


class Operator:
    """An operator gets batches in `receive` and passes batches to `emit`."""

    def __init__(self, emit: Receive) -> None:
        self.emit = emit

    def receive(self, partition: int, records: list[Record]) -> None:
        raise TypeError(f"{type(self).__name__} receives nothing")
