"""Push queries: rows as they come, to one client, for as long as he listens; and pull queries over streams.

There is no thread and no buffer behind a push query: who takes rows drives it, so a client that stops reading costs
nothing but a connection.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.operators.base import ProcessingError, Runtime
from streamguard_ksql.operators.record import Record
from streamguard_ksql.planning.planner import PlannedQuery
from streamguard_ksql.runtime import clients, names
from streamguard_ksql.runtime.clients import KafkaTopics
from streamguard_ksql.runtime.pull import result_keys
from streamguard_ksql.runtime.query import streams_property
from streamguard_ksql.runtime.reader import Reader
from streamguard_ksql.schema import Column
from streamguard_ksql.topology import Topology


@dataclass(frozen=True)
class Connection:
    """The Kafka that queries read: its addresses, the service whose groups they are, and the shared admin client."""

    servers: str
    service_id: str
    topics: KafkaTopics


class PushQuery:
    """The rows of a push query (see `api.RowStream`). With `until_end` it ends where the topics end now."""

    def __init__(
        self,
        planned: PlannedQuery,
        limit: int | None,
        connection: Connection,
        config: Mapping[str, Any],
        report: Callable[[ProcessingError], None],
        *,
        until_end: bool = False,
    ) -> None:
        self.query_id = f"transient_{planned.source_names[0]}_{uuid.uuid4().int % 10**19}"
        self.columns: Sequence[Column] = planned.columns
        self.key_columns: Sequence[str] = result_keys(planned)
        self.limit = limit
        self._until_end = until_end
        self._rows: deque[Sequence[Any] | None] = deque()
        self._given = 0
        self._ended: str | None = None
        self._closed = threading.Event()
        self._released = False
        self._lock = threading.Lock()
        topics = connection.topics.all()
        wanted = {s.topic: len(topics[s.topic].partitions) for s in _data_sources(planned) if s.topic in topics}
        runtime = Runtime(
            self.query_id, lambda record: None, report, config, partitions=max(wanted.values(), default=1)
        )
        self._topology = Topology(planned.node, runtime, self._deliver)
        group = names.query_group(connection.service_id, self.query_id)
        earliest = until_end or str(streams_property(config, "auto.offset.reset", "latest")) == "earliest"
        self._reader = Reader(
            lambda: clients.consumer(connection.servers, group),
            connection.topics,
            wanted,
            {},
            from_beginning=earliest,
            lost=lambda batch: report(batch.error(self.query_id)),
        )
        self._ends = self._reader.ends()

    def next_rows(self, timeout_s: float) -> Sequence[Sequence[Any] | None] | None:
        """The rows that have come, waiting at most so long for the first; None at the end."""
        with self._lock:
            if self._closed.is_set() and not self._rows:
                return None
            if not self._rows and self._ended is None:
                self._fill(timeout_s)
            if not self._rows and self._ended is not None:
                self._release()
                return None
            taken = list(self._rows)
            self._rows.clear()
            return self._within_limit(taken)

    def _fill(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._rows and not self._closed.is_set():
            if self.limit is not None and self._given >= self.limit:
                self._ended = "Limit Reached"
                return
            for partition, records in self._reader.poll(min(0.1, max(0.0, deadline - time.monotonic()))):
                self._topology.feed(partition, records)
            if self._until_end and not self._rows and self._reader.has_passed(self._ends):
                self._ended = "Query Completed"
                return
            if time.monotonic() >= deadline:
                return

    def _within_limit(self, taken: list[Sequence[Any] | None]) -> list[Sequence[Any] | None]:
        if self.limit is not None:
            taken = taken[: self.limit - self._given]
        self._given += len(taken)
        if self.limit is not None and self._given >= self.limit:
            self._ended = "Limit Reached"
        return taken

    def _deliver(self, partition: int, records: list[Record]) -> None:
        self._rows.extend(r.value for r in records)

    @property
    def end_reason(self) -> str | None:
        return self._ended

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._release()

    def _release(self) -> None:
        if not self._released:
            self._released = True
            self._reader.close()


def _data_sources(planned: PlannedQuery) -> list[Any]:
    from streamguard_ksql.plan import sources

    return [n.source for n in sources(planned.node)]
