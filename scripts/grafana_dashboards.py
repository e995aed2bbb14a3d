"""The dashboards of ops/grafana, from the compact description below: `python scripts/grafana_dashboards.py` writes their JSON.

The model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent.parent / "ops" / "grafana" / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "streamguard"}
"""As ops/grafana/provisioning/datasources names it."""
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


class Panel(NamedTuple):
    """A panel: `queries` by their legend, in PromQL. The unit is one of Grafana's (short, s, bytes, Bps, percentunit, ops)."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "pipeline": (
        "StreamGuard: pipeline",
        [
            Panel("Processes that answer", "short", {"{{part}}": "up{job='streamguard'}"}, "stat"),
            Panel(
                "Transactions a second",
                "ops",
                {
                    "sent": "sum(rate(streamguard_producer_records_acknowledged_total[$__rate_interval]))",
                    "in the topic": (
                        "sum(rate(kafka_topic_partition_current_offset{topic='transactions'}[$__rate_interval]))"
                    ),
                    "stored": "streamguard:transactions_stored:rate5m",
                },
            ),
            Panel(
                "Consumer lag, records",
                "short",
                {"{{consumergroup}} {{topic}}": "max by (consumergroup, topic) (kafka_consumergroup_lag_sum)"},
            ),
            Panel(
                "From event to row",
                "s",
                {
                    "p50": "histogram_quantile(0.5, sum by (le) (rate("
                    "streamguard_consumer_event_to_row_seconds_bucket[$__rate_interval])))",
                    "p95 (1 min)": "streamguard:row_seconds:p95_1m",
                },
            ),
            Panel(
                "From event to decision",
                "s",
                {
                    "p50": "histogram_quantile(0.5, sum by (le) (rate("
                    "streamguard_consumer_event_to_decision_seconds_bucket[$__rate_interval])))",
                    "p95 (5 min)": "streamguard:decision_seconds:p95_5m",
                },
            ),
            Panel(
                "Batches of the consumer",
                "s",
                {
                    "p95": "histogram_quantile(0.95, sum by (le) (rate("
                    "streamguard_consumer_batch_seconds_bucket[$__rate_interval])))"
                },
            ),
            Panel(
                "Records of a batch",
                "short",
                {
                    "mean": "sum(rate(streamguard_consumer_batch_records_sum[$__rate_interval]))"
                    " / sum(rate(streamguard_consumer_batch_records_count[$__rate_interval]))"
                },
            ),
            Panel(
                "From sending to acknowledgement",
                "s",
                {
                    "p95": "histogram_quantile(0.95, sum by (le) (rate("
                    "streamguard_producer_send_seconds_bucket[$__rate_interval])))"
                },
            ),
            Panel(
                "Outages, retries, errors",
                "short",
                {
                    "consumer": "sum(increase(streamguard_consumer_outages_total[$__rate_interval]))",
                    "generator: retries": "sum(increase(streamguard_producer_retries_total[$__rate_interval]))",
                    "generator: errors": "sum(increase(streamguard_producer_errors_total[$__rate_interval]))",
                },
            ),
            Panel(
                "What waits",
                "short",
                {
                    "alerts without their transaction": "streamguard_alerts_undecided",
                    "decisions to be sent": "streamguard_outbox_records",
                },
            ),
            Panel(
                "CPU",
                "percentunit",
                {"{{part}}": "rate(process_cpu_seconds_total{job='streamguard'}[$__rate_interval])"},
            ),
            Panel("Memory", "bytes", {"{{part}}": "process_resident_memory_bytes{job='streamguard'}"}),
            Panel(
                "Disk of the state",
                "bytes",
                {"free": "streamguard_disk_free_bytes", "size": "streamguard_disk_size_bytes"},
            ),
            Panel("Database", "bytes", {"size": "streamguard_database_size_bytes"}),
            Panel("Largest tables", "bytes", {"{{table}}": "topk(8, streamguard_table_size_bytes)"}),
        ],
    ),
    "rules": (
        "StreamGuard: rules and business",
        [
            Panel("Alerts that wait for a person", "short", {"open": "streamguard_alerts_open"}, "stat"),
            Panel(
                "Transactions in the last hour",
                "short",
                {"stored": "sum(increase(streamguard_consumer_records_stored_total{kind='transaction'}[1h]))"},
                "stat",
            ),
            Panel(
                "Alerts in the last hour",
                "short",
                {"stored": "sum(increase(streamguard_consumer_records_stored_total{kind='alert'}[1h]))"},
                "stat",
            ),
            Panel(
                "Decisions a second, by outcome",
                "ops",
                {"{{outcome}}": "sum by (outcome) (rate(streamguard_consumer_decisions_total[$__rate_interval]))"},
            ),
            Panel(
                "Decisions a second, by rule",
                "ops",
                {"{{rule}}": "sum by (rule) (rate(streamguard_consumer_decisions_total[$__rate_interval]))"},
            ),
            Panel(
                "Share of decisions that are no dismissal, by rule",
                "percentunit",
                {
                    "{{rule}}": "sum by (rule) (rate(streamguard_consumer_decisions_total{outcome=~'review|block'}[10m]))"
                    " / sum by (rule) (rate(streamguard_consumer_decisions_total[10m]))"
                },
            ),
            Panel("Flagged share of the hour", "percentunit", {"now": "streamguard:flagged_share:1h"}),
            Panel("Alerts of ten minutes, by rule", "ops", {"{{rule}}": "streamguard:alerts:rate10m"}),
            Panel(
                "Requests to the desk",
                "ops",
                {"{{route}}": "sum by (route) (rate(streamguard_desk_requests_total[$__rate_interval]))"},
            ),
            Panel(
                "Answers of the desk",
                "s",
                {
                    "p95": "histogram_quantile(0.95, sum by (le) (rate("
                    "streamguard_desk_request_seconds_bucket[$__rate_interval])))"
                },
            ),
            Panel(
                "Live streams, and their events a second",
                "short",
                {
                    "streams": "streamguard_desk_live_streams",
                    "events": "sum(rate(streamguard_desk_events_sent_total[$__rate_interval]))",
                },
            ),
            Panel(
                "Failed logins",
                "short",
                {"in five minutes": "sum(increase(streamguard_desk_failed_logins_total[5m]))"},
            ),
        ],
    ),
    "quality": (
        "StreamGuard: data quality",
        [
            Panel(
                "Share of records that could not be used",
                "percentunit",
                {
                    "of five minutes": "streamguard:dead_letters:rate5m"
                    " / (streamguard:dead_letters:rate5m + streamguard:transactions_stored:rate5m)"
                },
                "stat",
            ),
            Panel(
                "Dead letters a second, by reason",
                "ops",
                {
                    "{{topic}} {{reason}}": (
                        "sum by (topic, reason) (rate(streamguard_consumer_dead_letters_total[$__rate_interval]))"
                    )
                },
            ),
            Panel(
                "Dead letters of a day, by reason",
                "short",
                {
                    "{{topic}} {{reason}}": (
                        "sum by (topic, reason) (increase(streamguard_consumer_dead_letters_total[1d]))"
                    )
                },
                "table",
            ),
            Panel(
                "Records that queries left out",
                "ops",
                {
                    "{{query}} {{reason}}": (
                        "sum by (query, reason) (rate(streamguard_query_skipped_total[$__rate_interval]))"
                    )
                },
            ),
            Panel(
                "Freshness: since the last row",
                "s",
                {"seconds": "time() - max(streamguard_consumer_last_stored_timestamp_seconds)"},
            ),
            Panel(
                "Freshness: age of the events that become rows",
                "s",
                {
                    "p99": "histogram_quantile(0.99, sum by (le) (rate("
                    "streamguard_consumer_event_to_row_seconds_bucket[$__rate_interval])))"
                },
            ),
            Panel(
                "Volume of the hour",
                "short",
                {
                    "transactions": "streamguard_quality_hour_records",
                    "usual": "streamguard_quality_usual_hour_records",
                },
            ),
            Panel(
                "Share of transactions that have a field",
                "percentunit",
                {"{{field}}": "streamguard_quality_filled_ratio"},
            ),
            Panel(
                "Late, and repeated",
                "percentunit",
                {"late": "streamguard_quality_late_ratio", "repeated": "streamguard_quality_repeated_ratio"},
            ),
            Panel(
                "Alerts without their transaction",
                "s",
                {"the oldest waits": "streamguard_alerts_undecided_oldest_seconds"},
            ),
        ],
    ),
    "broker": (
        "StreamGuard: broker and topics",
        [
            Panel(
                "Records in a second, by topic",
                "ops",
                {"{{topic}}": "sum by (topic) (rate(streamguard_broker_records_in_total[$__rate_interval]))"},
            ),
            Panel(
                "Bytes in a second, by topic",
                "Bps",
                {"{{topic}}": "sum by (topic) (rate(streamguard_broker_bytes_in_total[$__rate_interval]))"},
            ),
            Panel(
                "Bytes out a second, by topic",
                "Bps",
                {"{{topic}}": "sum by (topic) (rate(streamguard_broker_bytes_out_total[$__rate_interval]))"},
            ),
            Panel(
                "Requests a second, by API",
                "ops",
                {"{{api}}": "sum by (api) (rate(streamguard_broker_requests_total[$__rate_interval]))"},
            ),
            Panel(
                "Time of a request, by API",
                "s",
                {
                    "{{api}}": "sum by (api) (rate(streamguard_broker_request_seconds_total[$__rate_interval]))"
                    " / (sum by (api) (rate(streamguard_broker_requests_total[$__rate_interval])) > 0)"
                },
            ),
            Panel(
                "Time of a sync to disk",
                "s",
                {
                    "mean": "rate(streamguard_broker_sync_seconds_total[$__rate_interval])"
                    " / rate(streamguard_broker_sync_total[$__rate_interval])"
                },
            ),
            Panel("Connections", "short", {"open": "streamguard_broker_connections"}),
            Panel("Largest topics on disk", "bytes", {"{{topic}}": "topk(8, streamguard_broker_log_bytes)"}),
            Panel(
                "Lag of groups, records",
                "short",
                {"{{group}} {{topic}}": "sum by (group, topic) (streamguard_broker_group_lag_records)"},
            ),
            Panel("Members of groups", "short", {"{{consumergroup}}": "kafka_consumergroup_members"}),
            Panel(
                "Partitions without all of their replicas",
                "short",
                {
                    "partitions": "count(kafka_topic_partition_in_sync_replica < kafka_topic_partition_replicas)"
                    " or vector(0)"
                },
                "stat",
            ),
            Panel(
                "Offsets removed by retention",
                "short",
                {
                    "{{topic}} {{reason}}": (
                        "sum by (topic, reason) (increase(streamguard_broker_removed_offsets_total[$__rate_interval]))"
                    )
                },
            ),
        ],
    ),
    "engine": (
        "StreamGuard: SQL engine",
        [
            Panel("Queries by state", "short", {"{{state}}": "sum by (state) (streamguard_query_state)"}, "stat"),
            Panel(
                "Records in a second",
                "ops",
                {"{{query}}": "sum by (query) (rate(streamguard_query_records_in_total[$__rate_interval]))"},
            ),
            Panel(
                "Records out a second",
                "ops",
                {"{{query}}": "sum by (query) (rate(streamguard_query_records_out_total[$__rate_interval]))"},
            ),
            Panel("Lag by offset, records", "short", {"{{query}}": "sum by (query) (streamguard_query_lag_records)"}),
            Panel("Lag by event time", "s", {"{{query}}": "streamguard_query_event_lag_seconds"}),
            Panel("Age of what is not committed", "s", {"{{query}}": "streamguard_query_commit_age_seconds"}),
            Panel("Entries of the state", "short", {"{{query}}": "streamguard_query_state_entries"}),
            Panel("Memory of the state", "bytes", {"{{query}}": "streamguard_query_state_bytes"}),
            Panel(
                "Failures",
                "short",
                {"{{query}}": "sum by (query) (increase(streamguard_query_errors_total[$__rate_interval]))"},
            ),
        ],
    ),
}
"""By the name of the file: title and panels."""


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            **({"instant": True, "format": "table"} if panel.kind == "table" else {}),
        }
        for index, (legend, expression) in enumerate(panel.queries.items())
    ]
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def dashboard(name: str) -> dict[str, Any]:
    """The JSON model of one."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"streamguard-{name}",
        "title": title,
        "tags": ["streamguard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "",
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["streamguard"], "title": "StreamGuard", "asDropdown": True}],
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def text(name: str) -> str:
    """What its file has."""
    return json.dumps(dashboard(name), indent=1) + "\n"


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
