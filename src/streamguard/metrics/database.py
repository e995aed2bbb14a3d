"""What the database holds and what waits in it, asked at each scrape."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, Engine, text

from streamguard.database import error_message, is_outage

log = logging.getLogger("streamguard.metrics")

_SINGLE = {
    "streamguard_database_connections": (
        "Connections to this database.",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
    ),
    "streamguard_database_size_bytes": (
        "Bytes of the database on disk.",
        "SELECT pg_database_size(current_database())",
    ),
    "streamguard_alerts_undecided": (
        "Versions of alerts that wait for their transaction.",
        "SELECT count(*) FROM alert_versions WHERE NOT judged",
    ),
    "streamguard_alerts_undecided_oldest_seconds": (
        "How long the oldest of them has waited.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(a.updated_at)), 0)"
        " FROM alert_versions v JOIN fraud_alerts a USING (alert_id) WHERE NOT v.judged",
    ),
    "streamguard_alerts_open": (
        "Alerts that wait for a person.",
        "SELECT count(*) FROM fraud_alerts WHERE status = 'open' AND outcome IN ('review', 'block')",
    ),
    "streamguard_outbox_records": ("Records that wait to be sent.", "SELECT count(*) FROM outbox"),
    "streamguard_outbox_oldest_seconds": (
        "How long the oldest of them has waited.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) FROM outbox",
    ),
}
"""Name: help, and the statement that gives the one figure."""
_TABLES = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0) AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_PARTITIONED = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree(CAST(:name AS regclass)) WHERE isleaf
"""


class DatabaseMetrics:
    """Sizes and waiting work; where the database does not answer, that alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        try:
            with self._engine.connect() as connection:
                found = list(_figures(connection))
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is unavailable: %s", error_message(error))
            found = []
        yield GaugeMetricFamily("streamguard_database_up", "Whether the database answers.", float(bool(found)))
        yield from found

    def describe(self) -> Iterable[Metric]:
        """Nothing: the database is not asked at the start."""
        return ()


def _figures(connection: Connection) -> Iterator[Metric]:
    if connection.execute(text("SELECT to_regclass('consumer_offsets')")).scalar() is None:
        yield GaugeMetricFamily("streamguard_database_size_bytes", "Bytes of the database on disk.", 0.0)
        return
    for name, (help_text, statement) in _SINGLE.items():
        yield GaugeMetricFamily(name, help_text, float(connection.execute(text(statement)).scalar() or 0))
    sizes = GaugeMetricFamily("streamguard_table_size_bytes", "Bytes of a table with its indexes.", labels=["table"])
    rows = GaugeMetricFamily("streamguard_table_rows", "Rows of a table, as Postgres estimates them.", labels=["table"])
    for row in connection.execute(text(_TABLES)):
        size = row.bytes or connection.execute(text(_PARTITIONED), {"name": row.name}).scalar() or 0
        sizes.add_metric([row.name], float(size))
        rows.add_metric([row.name], float(row.rows))
    yield from (sizes, rows)
