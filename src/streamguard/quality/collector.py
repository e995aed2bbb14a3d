"""The quality of the last minutes as metrics, asked at each scrape of the monitor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, Engine, text

from streamguard.database import error_message, is_outage
from streamguard.quality.figures import Sums, Volume, sums, volume
from streamguard.quality.limits import USUAL_DAYS
from streamguard.quality.minutes import FIELDS
from streamguard.quality.report import now_of

log = logging.getLogger("streamguard.metrics")

WINDOW = timedelta(minutes=10)
USUAL_EVERY_S = 300.0
"""What is usual takes a while to add up, and changes slowly."""


class QualityMetrics:
    """Figures of one topic; none where the database does not answer or has no tables yet."""

    def __init__(self, engine: Engine, topic: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._topic, self._clock_s = engine, topic, clock_s
        self._usual: tuple[float, Sums, Volume] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: the database is not asked at the start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        try:
            with self._engine.connect() as connection:
                if connection.execute(text("SELECT to_regclass('quality_minutes')")).scalar() is None:
                    return
                found, usual, hour = self._figures(connection)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is unavailable: %s", error_message(error))
            return
        yield from _families(found, usual, hour)

    def _figures(self, connection: Connection) -> tuple[Sums, Sums, Volume]:
        now, at_s = now_of(connection), self._clock_s()
        if self._usual is None or at_s - self._usual[0] >= USUAL_EVERY_S:
            before = sums(connection, self._topic, now - timedelta(days=USUAL_DAYS), now - WINDOW)
            self._usual = at_s, before, volume(connection, self._topic, now)
        found = sums(connection, self._topic, now - WINDOW, now + timedelta(minutes=1))
        return found, self._usual[1], self._usual[2]


def _families(found: Sums, usual: Sums, hour: Volume) -> Iterator[Metric]:
    name = "streamguard_quality"
    yield GaugeMetricFamily(f"{name}_records", "Records of the last ten minutes.", found.records)
    yield from _share(f"{name}_late_ratio", "Share of them that was stored too late.", found.of_stored(found.late))
    yield from _share(f"{name}_repeated_ratio", "Share of them with an id of before.", found.of_read(found.duplicates))
    for suffix, help_text, shares in (
        ("filled_ratio", "Share of them in which a field is there.", found),
        ("usual_filled_ratio", "The same over the seven days before.", usual),
    ):
        family = GaugeMetricFamily(f"{name}_{suffix}", help_text, labels=["field"])
        for field in FIELDS:
            if (share := shares.filled_share(field)) is not None:
                family.add_metric([field], share)
        yield family
    yield GaugeMetricFamily(f"{name}_hour_records", "Records of the last hour.", hour.records)
    yield from _share(f"{name}_usual_hour_records", "Median of the same hour of the weeks before.", hour.usual)


def _share(name: str, help_text: str, value: float | None) -> Iterator[Metric]:
    """A figure; nothing where there is too little to tell."""
    if value is not None:
        yield GaugeMetricFamily(name, help_text, value)
