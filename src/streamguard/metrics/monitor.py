"""`streamguard monitor`: the figures of what no process of ours counts (Kafka, database, disk, certificates), until stopped."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from sqlalchemy import Engine

from streamguard.config import Settings
from streamguard.config.logs import configure_logging
from streamguard.database import make_engine
from streamguard.kafka.clients import admin
from streamguard.kafka.overview import Overview, overview
from streamguard.metrics.certificates import CertificateMetrics
from streamguard.metrics.database import DatabaseMetrics
from streamguard.metrics.host import HostMetrics
from streamguard.metrics.kafka import KafkaMetrics
from streamguard.metrics.page import serve

log = logging.getLogger("streamguard.metrics")

_ANSWER_MS = 5_000
_ENDS_WITHIN_S = 5.0


class Cluster:
    """One connection to Kafka for all scrapes, made anew after a failure."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: KafkaAdminClient | None = None
        self._lock = threading.Lock()

    def overview(self) -> Overview | None:
        """Topics and groups as they are now; None where Kafka does not answer."""
        with self._lock:
            try:
                if self._client is None:
                    self._client = admin(
                        self._settings.kafka,
                        client_id="streamguard-monitor",
                        bootstrap_timeout_ms=_ANSWER_MS,
                        request_timeout_ms=_ANSWER_MS,
                    )
                return overview(self._client, with_configs=False)
            except (KafkaError, OSError) as error:
                log.warning("Kafka at %s: %s", self._settings.kafka, error)
                self.close()
                return None

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


Beside = Callable[[Settings, threading.Event], None]
"""Something that runs in a thread of its own until the event is set."""


def monitor(
    settings: Settings, more: Callable[[Engine], Iterable[Any]] = lambda _: (), beside: Sequence[Beside] = ()
) -> None:
    """Show the figures until SIGTERM or SIGINT, with those that `more` makes of the database, and run what is `beside`."""
    configure_logging("monitor", settings)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    cluster, engine = Cluster(settings), make_engine(settings, "streamguard-monitor")
    collectors = [
        *(KafkaMetrics(cluster.overview), DatabaseMetrics(engine)),
        *(HostMetrics(settings.state_path), CertificateMetrics(settings)),
    ]
    page = serve(settings, "monitor", [*collectors, *more(engine)])
    threads = [threading.Thread(target=run, args=(settings, stop), name="beside", daemon=True) for run in beside]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(_ENDS_WITHIN_S)
    page.close()
    cluster.close()
    engine.dispose()
