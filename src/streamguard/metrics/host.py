"""What the machine gives: room on the disk of the state folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily, Metric


class HostMetrics:
    """The file system that has the state folder, asked at each scrape."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Nothing: the folder may not be there yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        there = next(path for path in (self._state, *self._state.parents) if path.exists())
        usage = shutil.disk_usage(there)
        yield GaugeMetricFamily("streamguard_disk_size_bytes", "Size of the disk with the state folder.", usage.total)
        yield GaugeMetricFamily("streamguard_disk_free_bytes", "What is left of it.", usage.free)
