"""`streamguard monitor`: the figures of what no process of ours counts (Kafka, database, disk, certificates), until stopped."""

from __future__ import annotations

import logging
import signal
import threading

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamguard.config import Settings
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


def monitor(settings: Settings) -> None:
    """Show the figures until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    cluster, engine = Cluster(settings), make_engine(settings, "streamguard-monitor")
    collectors = [
        *(KafkaMetrics(cluster.overview), DatabaseMetrics(engine)),
        *(HostMetrics(settings.state_path), CertificateMetrics(settings)),
    ]
    page = serve(settings, "monitor", collectors)
    stop.wait()
    page.close()
    cluster.close()
    engine.dispose()
