"""What a stream of the generator counts: what it sent, what the broker confirmed, and how long that took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamguard.metrics.latency import Latency

_PREFIX = "streamguard_producer"


class Sends(Protocol):
    """A sink of the generator that sends to a broker."""

    sent: int

    @property
    def acknowledged(self) -> int: ...

    @property
    def unacknowledged(self) -> int: ...

    @property
    def refused(self) -> int: ...

    @property
    def retries(self) -> int: ...


def send_seconds() -> Latency:
    """The histogram that a sink fills."""
    return Latency(f"{_PREFIX}_send_seconds", "From handing a record to the client to its acknowledgement.")


class ProducerMetrics:
    """Asked at each scrape; `latency` is what the sink fills."""

    def __init__(self, sink: Sends, latency: Latency) -> None:
        self._sink, self._latency = sink, latency

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        sink = self._sink
        for name, text, count in (
            ("records_sent", "Records handed to the client.", sink.sent),
            ("records_acknowledged", "Records that the broker has on disk.", sink.acknowledged),
            ("retries", "Batches that the broker could not store and that are sent again.", sink.retries),
            ("errors", "Records that the broker refused.", sink.refused),
        ):
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, count)
        yield GaugeMetricFamily(
            f"{_PREFIX}_unacknowledged_records", "Records that are on the way.", sink.unacknowledged
        )
        yield self._latency.family()
