"""What the desk counts: requests by the pattern of their path, live streams, events, failed logins."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from streamguard.metrics.latency import SECONDS, Latency

OTHER = "other"
"""The route of a path that the desk does not have, and of a request that its doors refused."""
_PREFIX = "streamguard_desk"


class DeskMetrics:
    """Counters of one desk. `streams` and `events` are asked at each scrape."""

    def __init__(self, streams: Callable[[], int] = lambda: 0, events: Callable[[], int] = lambda: 0) -> None:
        self._streams, self._events = streams, events
        self._requests: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, Latency] = defaultdict(lambda: Latency("", "", SECONDS))
        self._failed_logins = 0
        self._lock = threading.Lock()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is a pattern such as /alerts/{alert_id}, never a path."""
        with self._lock:
            self._requests[route, str(status)] += 1
            self._seconds[route].add((seconds,))

    def login_failed(self) -> None:
        """Count a login with a wrong name or password, or one that was throttled."""
        with self._lock:
            self._failed_logins += 1

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        requests = CounterMetricFamily(
            f"{_PREFIX}_requests", "Requests answered, by pattern of the path.", labels=["route", "status"]
        )
        seconds = HistogramMetricFamily(
            f"{_PREFIX}_request_seconds", "From a request to the begin of its answer.", labels=["route"]
        )
        with self._lock:
            for labels, count in sorted(self._requests.items()):
                requests.add_metric(labels, count)
            for route, latency in sorted(self._seconds.items()):
                buckets, total = latency.buckets()
                seconds.add_metric([route], buckets, total)
        yield requests
        yield seconds
        yield GaugeMetricFamily(f"{_PREFIX}_live_streams", "Live streams that are open.", self._streams())
        yield CounterMetricFamily(f"{_PREFIX}_events_sent", "Events handed to live streams.", self._events())
        yield CounterMetricFamily(f"{_PREFIX}_failed_logins", "Logins that were refused.", self._failed_logins)


class Counted:
    """An ASGI application around the desk's that counts its answers."""

    def __init__(self, app: Any, metrics: DeskMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, metrics = time.monotonic(), self._metrics
        matched: dict[str, str] = {}

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                metrics.answered(matched.get("route", OTHER), message["status"], time.monotonic() - began)
            await send(message)

        # A dictionary of its own, which survives the copies of the scope on the way to the route.
        await self._app({**scope, MATCHED: matched}, receive, sent)


MATCHED = "streamguard.route"
"""The key of the scope under which a route leaves its pattern."""


def matched(scope: Any, pattern: str) -> None:
    """Say which pattern a request has matched."""
    if (found := scope.get(MATCHED)) is not None:
        found["route"] = pattern
