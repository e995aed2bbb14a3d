"""The pulse: a few figures of the running stack, taken once a second for everybody who looks.

Rates come from the counters of the consumer, so that a figure costs the same however many transactions are stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Connection, Engine, text

from streamguard.config import Settings
from streamguard.database import error_message, is_outage
from streamguard.desk.feed import Feed, event
from streamguard.kafka import clients
from streamguard.kafka.lags import lags
from streamguard.stack.readiness import kafka_probe, ksqldb_probe

log = logging.getLogger("streamguard.desk")

KEPT_S = 3_600
_EVERY_S = 1.0
_PROBE_EVERY = 5
"""Seconds between two looks at the parts, and at the figures that cost more than a counter."""
LATENCY_OVER_MINUTES = 5
_STALE_S = 30.0
"""A thread that waits for a database which does not answer takes no figures."""

UP, SLOW, DOWN = "up", "slow", "down"


@dataclass(frozen=True)
class PartHealth:
    """A part of the stack: `state` is up, slow or down; `says` why, in a few words; `since` epoch seconds of this state."""

    name: str
    state: str
    says: str
    since: float


@dataclass
class Figures:
    """The newest figures. Latencies are milliseconds from event to decision, None where nothing was decided lately."""

    transactions_per_s: float = 0.0
    alerts_per_min: int = 0
    open_alerts: int = 0
    oldest_open_s: float | None = None
    flagged_share: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    lag: int | None = None
    parts: list[PartHealth] = field(default_factory=list)


_READ = "SELECT coalesce(sum(records_read), 0) FROM consumer_offsets WHERE group_id = :group AND topic = :topic"
_OPEN = """
SELECT count(*) AS open_alerts, extract(epoch FROM clock_timestamp() - min(created_at))::FLOAT AS oldest_open_s
FROM fraud_alerts a LEFT JOIN alert_handling h USING (alert_id)
WHERE status = 'open' AND outcome IS DISTINCT FROM 'dismiss'
    AND (h.snoozed_until IS NULL OR h.snoozed_until <= now())
"""
_LATELY = """
SELECT count(*) FILTER (WHERE created_at > clock_timestamp() - INTERVAL '1 minute') AS alerts_per_min
FROM fraud_alerts WHERE updated_at > clock_timestamp() - INTERVAL '1 minute'
"""
_LATENCY = f"""
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms, percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms
FROM (
    SELECT extract(epoch FROM d.decided_at - a.detected_at)::FLOAT * 1000 AS ms
    FROM fraud_alerts a JOIN decisions d ON d.alert_id = a.alert_id AND d.tx_count = a.tx_count AND d.decided_by = 'rules'
    WHERE a.updated_at > clock_timestamp() - INTERVAL '{LATENCY_OVER_MINUTES} minutes'
    ORDER BY a.updated_at DESC LIMIT 1000
) AS lately
"""
_OFFSETS = "SELECT topic, partition_no, next_offset FROM consumer_offsets WHERE group_id = :group"


class Pulse:
    """Takes the figures on a thread, keeps the last hour, and publishes each second."""

    def __init__(self, settings: Settings, engine: Engine, feed: Feed) -> None:
        self._settings = settings
        self._engine = engine
        self._feed = feed
        self.figures = Figures()
        self.history: dict[str, deque[tuple[int, float | None]]] = {
            name: deque(maxlen=KEPT_S)
            for name in ("transactions_per_s", "alerts_per_min", "p95_ms", "open_alerts", "lag")
        }
        """Of some figures the values of the last hour, each with its epoch second."""
        self._states: dict[str, PartHealth] = {}
        self._taken_s = 0.0
        """When the database was asked last, on the monotonic clock."""
        self._read: tuple[float, int] | None = None
        self._admin: KafkaAdminClient | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to take figures."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(timeout=15)
        self._drop_admin()

    def not_ready(self) -> str | None:
        """Why the desk cannot show its pages, without details; None where it can."""
        database = self._states.get("postgres")
        if database is None:
            return "it is starting"
        if time.monotonic() - self._taken_s > _STALE_S:
            return "it has not reached Postgres for a while"
        return None if database.state == UP else "Postgres is unavailable"

    def _run(self) -> None:
        beat = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._take(beat)
            except Exception:
                log.exception("taking the figures failed")
            beat += 1
            self._closing.wait(max(0.05, _EVERY_S - (time.monotonic() - began)))

    def _take(self, beat: int) -> None:
        every = beat % _PROBE_EVERY == 0
        self._from_database(every)
        if every:
            problem = kafka_probe(self._settings)
            self._state("broker", None if problem is None else str(problem))
            problem = ksqldb_probe(self._settings)
            self._state("ksqldb", None if problem is None else str(problem))
            self.figures.lag = self._lag()
        self.figures.parts = list(self._states.values())
        now = int(time.time())
        for name, kept in self.history.items():
            kept.append((now, getattr(self.figures, name)))
        self._feed.publish(event("pulse", asdict(self.figures)))

    def _from_database(self, every: bool) -> None:
        self._asked_database(every)
        self._taken_s = time.monotonic()

    def _asked_database(self, every: bool) -> None:
        try:
            with self._engine.begin() as connection:
                self._rate(connection)
                if every:
                    self._counts(connection)
        except Exception as error:
            if not is_outage(error):
                raise
            self._read, self.figures.transactions_per_s = None, 0.0
            self._state("postgres", error_message(error))
        else:
            self._state("postgres", None)

    def _rate(self, connection: Connection) -> None:
        place = {"group": self._settings.consumer_group, "topic": self._settings.transactions_topic}
        read, at = int(connection.execute(text(_READ), place).scalar_one()), time.monotonic()
        if self._read is not None and (passed := at - self._read[0]) > 0:
            self.figures.transactions_per_s = max(0.0, round((read - self._read[1]) / passed, 1))
        self._read = at, read

    def _counts(self, connection: Connection) -> None:
        for statement in (_OPEN, _LATELY, _LATENCY):
            for name, value in connection.execute(text(statement)).mappings().one().items():
                setattr(self.figures, name, value)
        rate = self.figures.transactions_per_s * 60
        self.figures.flagged_share = self.figures.alerts_per_min / rate if rate else None

    def _lag(self) -> int | None:
        """Records that the consumer has not stored yet; None while that is not known."""
        try:
            with self._engine.begin() as connection:
                rows = connection.execute(text(_OFFSETS), {"group": self._settings.consumer_group})
                positions = {TopicPartition(row.topic, row.partition_no): int(row.next_offset) for row in rows}
            if self._admin is None:
                self._admin = clients.admin(
                    self._settings.kafka,
                    client_id="streamguard-desk",
                    bootstrap_timeout_ms=2_000,
                    request_timeout_ms=5_000,
                )
            found = sum(lag.records or 0 for lag in lags(self._admin, positions))
        except (KafkaError, OSError, ValueError) as error:
            self._drop_admin()
            self._state("consumer", f"its lag is not known: {type(error).__name__}")
            return None
        except Exception as error:
            if not is_outage(error):
                raise
            return None
        rate = max(self.figures.transactions_per_s, 1.0)
        self._state("consumer", None if found < 10 * rate + 100 else f"{found:,} records behind", SLOW)
        return found

    def _drop_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            try:
                admin.close()
            except Exception as error:  # whatever a broken connection raises: it is gone
                log.debug("closing the client failed: %s", error)

    def _state(self, name: str, problem: str | None, state: str = DOWN) -> None:
        found = UP if problem is None else state
        before = self._states.get(name)
        since = before.since if before is not None and before.state == found else time.time()
        self._states[name] = PartHealth(name, found, problem or "", since)
