"""What the cluster did in the last hour: the lag of each group and the rate of each topic, sampled for everybody who looks."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import lru_cache

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.overview import Overview, overview

log = logging.getLogger("streamguard.desk")

EVERY_S = 5.0
KEPT = 720
"""Samples: an hour of them."""
RATE_OVER_S = 60.0


class ClusterHistory:
    """Takes a sample every few seconds on a thread; what is read of it costs nothing."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._lags: dict[str, deque[tuple[float, int]]] = {}
        self._ends: dict[str, deque[tuple[float, int]]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample, once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=15)

    def add(self, seen: Overview, at_s: float) -> None:
        """Keep a sample; `at_s` are epoch seconds. What is not there any more is forgotten with its last sample."""
        with self._lock:
            for group in seen.groups:
                self._lags.setdefault(group.name, deque(maxlen=KEPT)).append((at_s, group.lag))
            for topic in seen.topics:
                self._ends.setdefault(topic.name, deque(maxlen=KEPT)).append((at_s, topic.end))
            for kept in (self._lags, self._ends):
                for name in [name for name, samples in kept.items() if samples[-1][0] < at_s - KEPT * EVERY_S]:
                    del kept[name]

    def lag_of(self, group: str) -> list[tuple[float, int]]:
        """The lag of a group in the last hour: epoch seconds and records, the oldest first."""
        with self._lock:
            return list(self._lags.get(group, ()))

    def rate_of(self, topic: str) -> float | None:
        """Records a second over the last minute, markers of transactions among them; None before there are two samples."""
        with self._lock:
            samples = list(self._ends.get(topic, ()))
        if not samples:
            return None
        last = samples[-1]
        first = next(sample for sample in samples if sample[0] >= last[0] - RATE_OVER_S)
        passed = last[0] - first[0]
        # A topic that was made anew begins at 0 again.
        return None if passed <= 0 else max(0.0, (last[1] - first[1]) / passed)

    def _run(self) -> None:
        client: KafkaAdminClient | None = None
        while not self._closing.is_set():
            try:
                client = client or clients.admin(
                    self._servers,
                    client_id="streamguard-desk-cluster",
                    bootstrap_timeout_ms=2_000,
                    request_timeout_ms=5_000,
                )
                self.add(overview(client), time.time())
            except (KafkaError, OSError, ValueError, KeyError) as error:
                log.debug("no sample of the cluster: %s: %s", type(error).__name__, error)
                _close(client)
                client = None
            self._closing.wait(EVERY_S)
        _close(client)


def _close(client: KafkaAdminClient | None) -> None:
    try:
        if client is not None:
            client.close()
    except Exception as error:  # whatever a broken connection raises: it is gone
        log.debug("closing the client failed: %s", error)


@lru_cache(maxsize=8)
def history_of(servers: Servers) -> ClusterHistory:
    """The history of the cluster at these addresses, one in a process."""
    return ClusterHistory(servers)
