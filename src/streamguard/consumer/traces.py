"""The consumer's part of a trace: store, judge, decide.

ksqlDB does not copy the headers of records, so an alert has none: it continues the trace of its transaction, which is kept in
memory for a while. A decision continues the trace in the header of its record. Spans:

| span | from | to |
|---|---|---|
| store | the batch was read | it is committed |
| judge | the rules are asked | they have answered |
| decide | they have answered | the broker has the record of the decision |
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson

from streamguard.consumer.records import Batch
from streamguard.consumer.store import Store, Stored
from streamguard.metrics.traces import HEADER, Tracer

_KEPT = 100_000
"""Transactions, and decisions on their way, whose traces are remembered."""

_Version = tuple[str, int]


class ConsumerTraces:
    """Follows batches; `write` on the consumer's thread, the rest on the publisher's."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._transactions: OrderedDict[str, bytes] = OrderedDict()
        self._decisions: OrderedDict[_Version, tuple[bytes, int]] = OrderedDict()
        # The publisher may see a decision as soon as it is committed: it waits until its trace is known.
        self._lock = threading.Lock()

    def write(self, store: Store, batch: Batch) -> Stored:
        """Store a batch, with the spans of it. Raises what `Store.write` does."""
        with self._lock:
            started_ns = time.time_ns()
            stored = store.write(batch)
            ended_ns = time.time_ns()
            self._stored(batch, stored, started_ns, ended_ns)
            self._judged(stored, store.judged_ns)
        return stored

    def _stored(self, batch: Batch, stored: Stored, started_ns: int, ended_ns: int) -> None:
        dead = {id(one.record) for one in stored.dead}
        for record, transaction in batch.transactions:
            parent = next((value for name, value in getattr(record, "headers", ()) if name == HEADER), None)
            if parent is None or id(record) in dead:
                continue
            about = {"streamguard.transaction_id": transaction.transaction_id, **_place(record)}
            self._keep(
                self._transactions, transaction.transaction_id, self._span("store", started_ns, ended_ns, parent, about)
            )

    def _judged(self, stored: Stored, judged_ns: tuple[int, int]) -> None:
        started_ns, ended_ns = judged_ns
        for judged in stored.judged:
            parent = self._transactions.get(judged.transaction_id or "")
            if parent is None:
                continue
            about = {"streamguard.alert_id": judged.alert_id, "streamguard.rule": judged.rule}
            about |= {"streamguard.outcome": judged.outcome, "streamguard.transaction_id": judged.transaction_id or ""}
            header = self._span("judge", started_ns, ended_ns, parent, about)
            if header is not None:
                self._keep(self._decisions, (judged.alert_id, judged.tx_count), (header, ended_ns))

    def begin(self, value: bytes) -> Any:
        """The span of a decision that is sent now; None for a record without a trace."""
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(found, dict) or found.get("decided_by") != "rules":
            return None
        with self._lock:
            kept = self._decisions.pop((str(found.get("alert_id")), found.get("tx_count", 0)), None)
        if kept is None:
            return None
        parent, decided_ns = kept
        return self._tracer.begin("decide", decided_ns, parent, {"streamguard.alert_id": found["alert_id"]})

    def header(self, span: Any) -> bytes | None:
        """What continues the trace of a span."""
        return self._tracer.header(span)

    def end(self, spans: Sequence[Any]) -> None:
        """The decisions are sent."""
        now_ns = time.time_ns()
        for span in spans:
            span.end(now_ns)

    def close(self) -> None:
        """Send what is left."""
        self._tracer.close()

    def _span(self, name: str, started_ns: int, ended_ns: int, parent: bytes, about: dict[str, Any]) -> bytes | None:
        """A whole span; the header that continues it, None where it is not sampled."""
        span = self._tracer.begin(name, started_ns, parent, about)
        span.end(ended_ns)
        return self._tracer.header(span)

    @staticmethod
    def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
        if value is not None:
            kept[key] = value
            if len(kept) > _KEPT:
                kept.popitem(last=False)


def _place(record: Any) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
