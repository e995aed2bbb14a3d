"""Reads the topics and hands their records to a sink, from the offsets that the sink has, until told to stop.

What the sink has stored decides where reading continues. The same offsets are committed to the sink's consumer group, for
people and metrics to see how far it is behind; nothing is read from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from kafka.errors import KafkaError

from streamguard.config import Settings
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks.base import Batch, Sink, SinkUnavailable
from streamguard.sinks.reading import PartitionsChanged, Reading

log = logging.getLogger("streamguard.sinks")

RETRY_S = 2.0
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 15.0
"""How long an unavailable destination is left alone: twice as long each time, up to the last."""


def topics_of(settings: Settings) -> list[str]:
    """What a sink gets: transactions, alerts and decisions."""
    return [settings.transactions_topic, settings.alerts_topic, settings.decisions_topic]


def group_of(name: str) -> str:
    """The consumer group of a sink."""
    return f"streamguard-sink-{name}"


def run(
    settings: Settings,
    sink: Sink,
    topics: Sequence[str],
    stop: threading.Event,
    *,
    to_end: bool = False,
    metrics: SinkMetrics | None = None,
    group: str | None = None,
    batch: Batch | None = None,
) -> int:
    """Write records until `stop` is set, or with `to_end` up to where the topics end now; returns how many.

    Counts them in `metrics`, and commits offsets to `group`. Retries while Kafka or the destination is unavailable. Raises
    SinkError.
    """
    counted = metrics or SinkMetrics("")
    sizes = batch or Batch(settings.batch_max_records)
    before = counted.total
    while not stop.is_set():
        try:
            with Reading(settings, topics, group, sizes, counted) as reading:
                _copy(reading, sink, stop, to_end, counted)
                break
        except PartitionsChanged as change:
            log.info("%s", change)
        except KafkaError as error:
            log.warning("Kafka at %s: %s; retrying in %.0f s", settings.kafka_bootstrap_servers, error, RETRY_S)
            counted.outage()
            stop.wait(RETRY_S)
    return counted.total - before


def _copy(reading: Reading, sink: Sink, stop: threading.Event, to_end: bool, metrics: SinkMetrics) -> None:
    """Until `stop` or the end. An outage of the destination is logged once, however often it is tried."""
    delay_s = FIRST_RETRY_S
    while True:
        try:
            reading.seek(sink)
            reading.copy(sink, stop, to_end)
            return
        except SinkUnavailable as error:
            if metrics.unavailable(str(error)):
                log.warning("%s; nothing is lost, it is tried again until it takes records", error)
                delay_s = FIRST_RETRY_S
            if stop.wait(delay_s):
                return
            reading.measure()
            delay_s = min(2 * delay_s, LAST_RETRY_S)
