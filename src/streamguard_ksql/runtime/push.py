"""Push queries: rows as they come, to one client, for as long as it listens; and pull queries over streams.

Each has a thread that reads and processes records, and stands still as long as ROWS_KEPT rows have not been taken: in
the middle of a batch, and of the rows that EXPLODE makes of one record. A client that stops reading costs a connection.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.errors import LimitExceeded
from streamguard_ksql.operators.base import ProcessingError, Runtime
from streamguard_ksql.operators.record import Record
from streamguard_ksql.plan import sources
from streamguard_ksql.planning.planner import PlannedQuery
from streamguard_ksql.runtime import clients, names
from streamguard_ksql.runtime.clients import KafkaTopics, Servers
from streamguard_ksql.runtime.pull import result_keys
from streamguard_ksql.runtime.pulse import Interrupted, Pulse
from streamguard_ksql.runtime.reader import Reader
from streamguard_ksql.runtime.streams import from_beginning
from streamguard_ksql.schema import Column
from streamguard_ksql.topology import Topology, most_ahead_ms


@dataclass(frozen=True)
class Connection:
    """The Kafka that queries read: its addresses, the service whose groups they are, and the shared admin client."""

    servers: Servers
    service_id: str
    topics: KafkaTopics


ROWS_KEPT = 1_000
"""Rows that have not been taken, before the query waits for its client."""
POLL_S = 0.1


class _Stopped(Exception):
    """Ends the processing of a batch: the query is closed, or has all the rows that it may give."""


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
        self._error: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        """Held to read or change what is above."""
        topics = connection.topics.all()
        read = {node.source.topic for node in sources(planned.node)}
        wanted = {topic: len(topics[topic].partitions) for topic in read if topic in topics}
        runtime = Runtime(
            self.query_id, lambda record: None, report, config, partitions=max(wanted.values(), default=1)
        )
        topology = Topology(planned.node, runtime, self._deliver)
        self.topology: Topology | None = topology
        group = names.query_group(connection.service_id, self.query_id)
        beginning = read if until_end else from_beginning(planned.node, config)
        self._reader = Reader(
            lambda: clients.consumer(connection.servers, group),
            connection.topics,
            {topic: range(count) for topic, count in wanted.items()},
            {},
            from_beginning=beginning,
            times_of=topology.times_of,
            ahead_ms=most_ahead_ms(planned.node),
            lost=lambda batch: report(batch.error(self.query_id)),
        )
        self._ends = self._reader.ends()
        self._thread = threading.Thread(target=self._main, name=f"push-{self.query_id}", daemon=True)
        self.pulse = Pulse(self._thread)
        self._thread.start()

    # --- the client's side --------------------------------------------------------------------------------------------

    def next_rows(self, timeout_s: float) -> Sequence[Sequence[Any] | None] | None:
        """The rows that have come, waiting at most so long for the first; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows or self._is_over(), timeout_s)
            if not self._rows and self._is_over():
                if self._error is not None:
                    raise self._error
                return None
            taken = list(self._rows)
            self._rows.clear()
            self._changed.notify_all()
            return taken

    def _is_over(self) -> bool:
        return self._closed or self._ended is not None or self._error is not None

    @property
    def end_reason(self) -> str | None:
        return self._ended

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(clients.LAST_ANSWER_S)
        self.pulse.interrupt()

    def exceed(self, reason: LimitExceeded) -> None:
        """End with a reason, which the client gets after the rows that are there."""
        with self._changed:
            self._error = reason
            self._changed.notify_all()
        self.pulse.exceed(reason)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            while not self._is_over():
                self._step()
        except _Stopped:
            pass
        except Interrupted:
            self._error = self._error or self.pulse.exceeded
        except Exception as error:
            self._error = error
        finally:
            self.pulse.reset()
            self.topology = None
            with self._changed:
                self._changed.notify_all()
            self._reader.close()

    def _step(self) -> None:
        if self.limit == self._given:
            self._end("Limit Reached")
        batches = self._reader.poll(POLL_S)
        assert self.topology is not None
        self.pulse.begin()
        for partition, records in batches:
            self.topology.feed(partition, records)
        self.pulse.end()
        if self._until_end and self._reader.has_passed(self._ends):
            self._end("Query Completed")

    def _end(self, reason: str) -> None:
        with self._changed:
            self._ended = reason
        raise _Stopped

    def _deliver(self, partition: int, records: list[Record]) -> None:
        """Hand rows to the client, as many as it may have; waits until it has taken enough of them."""
        with self._changed:
            left = len(records) if self.limit is None else self.limit - self._given
            rows = [r.value for r in records[:left]]
            self._rows.extend(rows)
            self._given += len(rows)
            self._changed.notify_all()
            if self._given == self.limit:
                self._ended = "Limit Reached"
                raise _Stopped
            self._changed.wait_for(lambda: len(self._rows) < ROWS_KEPT or self._is_over())
            if self._is_over():
                raise _Stopped
