"""Ask the parts for the figures: each once, on the connections of the checks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from sqlalchemy import text

from streamguard.config import Settings
from streamguard.kafka.overview import Overview, overview
from streamguard.kafka.topics import topic_configs
from streamguard.rules.catalogue import catalogue
from streamguard.rules.decide import ACTIVE
from streamguard.rules.modes import modes_of
from streamguard.stack.health.base import FAILURES, Context, connected, findings_of
from streamguard.stack.health.database import has_tables
from streamguard.stack.health.readers import CONSUMER
from streamguard.stack.health.samples import Samples
from streamguard.stack.status import model
from streamguard.stack.status.parts import parts_of

T = TypeVar("T")

_READ = """
SELECT topic, partition_no, next_offset FROM consumer_offsets WHERE group_id = :group
"""
_ALERTS = """
SELECT count(*) FILTER (WHERE outcome <> 'refused') AS decided, count(*) FILTER (WHERE outcome = 'refused') AS refused,
    count(*) FILTER (WHERE outcome IS NULL) AS waiting,
    (SELECT count(*) FROM transactions) AS transactions,
    (SELECT count(*) FROM dead_letters) AS dead_letters,
    (SELECT coalesce(sum(records_read), 0)::BIGINT FROM consumer_offsets) AS records_read
FROM fraud_alerts
"""
_LATELY = """
SELECT (SELECT count(*) FROM fraud_alerts WHERE updated_at > m.ago AND created_at > m.ago) AS alerts,
    (SELECT count(*) FROM fraud_alerts a JOIN decisions d USING (alert_id) WHERE a.updated_at > m.ago AND d.decided_at > m.ago)
        AS decisions,
    (SELECT count(*) FROM dead_letters WHERE failed_at > m.ago) AS dead_letters
FROM (SELECT clock_timestamp() - INTERVAL '1 minute' AS ago) m
"""
_WAITING = """
SELECT a.open_alerts, a.oldest_open_s, (SELECT count(*) FROM alert_versions WHERE NOT judged) AS undecided_versions,
    o.outbox, o.oldest_outbox_s
FROM (
    SELECT count(*) AS open_alerts, extract(epoch FROM clock_timestamp() - min(created_at))::FLOAT AS oldest_open_s
    FROM fraud_alerts WHERE status = 'open' AND outcome IN ('review', 'block')
) a, (
    SELECT count(*) AS outbox, extract(epoch FROM clock_timestamp() - min(created_at))::FLOAT AS oldest_outbox_s FROM outbox
) o
"""

Offsets = dict[str, int]
"""`topic/partition` to the next offset to read."""
_MINUTE_S = 60.0
_LEAST_S = 0.5
"""A shorter time says nothing: the consumer stores by batches."""


def look(settings: Settings) -> model.Status:
    """The picture of now. The rate of transactions is that since an earlier call about a minute ago, whose offsets the checks
    keep; where there was none, that of the time which the looking takes."""
    with connected(settings) as context:
        begun = _earlier(settings) or _sample(context)
        found = [model.FoundProblem(title, one.serious, one.sentence) for title, one in findings_of(context)]
        kafka = _known(lambda: overview(context.kafka) if context.kafka is not None else None)
        now = _sample(context)
        return model.Status(
            format=model.FORMAT,
            taken_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            state=model.PROBLEMS if any(one.serious for one in found) else model.WELL,
            parts=parts_of(context),
            queries=_queries(context, kafka),
            rules=_known(lambda: _rules(context)),
            topics=None if kafka is None else _topics(context, kafka, now),
            rates=_known(lambda: _rates(context, begun, now)) or model.Rates(),
            stored=_known(lambda: _one(context, model.Stored, _ALERTS)),
            backlog=_known(lambda: _one(context, model.Backlog, _WAITING)),
            disk=_disk(settings),
            findings=found,
            engines=_known(lambda: _engines(context)) or [],
        )


@dataclass(frozen=True)
class _Sample:
    """Where the consumer was in its topics at a time (epoch seconds)."""

    at_s: float
    offsets: Offsets


def _earlier(settings: Settings) -> _Sample | None:
    found = Samples(settings).nearest(CONSUMER, _MINUTE_S, least_s=_MINUTE_S / 6, most_s=_MINUTE_S * 2)
    return None if found is None else _Sample(found.at_s, {n: at for n, (at, _) in found.readers[CONSUMER].items()})


def _sample(context: Context) -> _Sample | None:
    """Take one; None where the database does not answer or has no tables."""

    def offsets() -> _Sample | None:
        if context.database is None or not has_tables(context):
            return None
        rows = context.database.execute(text(_READ), {"group": context.settings.consumer_group})
        return _Sample(time.time(), {f"{row.topic}/{row.partition_no}": int(row.next_offset) for row in rows})

    return _known(offsets)


def _known(ask: Callable[[], T | None]) -> T | None:
    """What a part says; None where it stops to answer meanwhile, which the checks report."""
    try:
        return ask()
    except (*FAILURES, OSError):
        return None


def _one(context: Context, kind: type[T], statement: str) -> T | None:
    """The one row of a statement."""
    if context.database is None or not has_tables(context):
        return None
    return kind(**context.database.execute(text(statement)).mappings().one())


def _rates(context: Context, begun: _Sample | None, now: _Sample | None) -> model.Rates | None:
    if context.database is None or begun is None or now is None:
        return None
    lately = context.database.execute(text(_LATELY)).mappings().one()
    if (passed := now.at_s - begun.at_s) < _LEAST_S:
        return model.Rates(**lately)
    prefix = f"{context.settings.transactions_topic}/"
    read = sum(at - begun.offsets.get(place, 0) for place, at in now.offsets.items() if place.startswith(prefix))
    return model.Rates(round(passed, 1), round(max(0, read) / passed, 1), **lately)


def _engines(context: Context) -> list[model.EngineFigures]:
    """Who has which part of the queries, where several share them."""
    if context.engine is None:
        return []
    return [
        model.EngineFigures(
            str(engine.get("name", address)),
            address,
            {query: len(share["activePartitions"]) for query, share in sorted(engine["activeStandbyPerQuery"].items())},
        )
        for address, engine in sorted(context.engine.engines().items())
    ]


def _queries(context: Context, kafka: Overview | None) -> list[model.QueryFigures] | None:
    """The consumer group of a query ends with its id, on ksqlDB too."""
    if context.engine is None:
        return None
    groups = {} if kafka is None else {group.name: group for group in kafka.groups}
    found = []
    for query in sorted(context.queries, key=lambda query: str(query["id"])):
        name = str(query["id"])
        lag = next((group.lag for key, group in groups.items() if key.endswith(f"query_{name}")), None)
        found.append(model.QueryFigures(name, str(query["state"]).lower(), lag))
    return found


def _rules(context: Context) -> list[model.RuleFigures] | None:
    """Each name once: several queries may share the name of their alerts."""
    if context.database is None or not has_tables(context):
        return None
    modes = modes_of(context.database)
    kinds = {rule.name: rule.kind for rule in catalogue()}
    return [model.RuleFigures(name, kind, modes.get(name, ACTIVE)) for name, kind in kinds.items()]


def _topics(context: Context, kafka: Overview, consumer: _Sample | None) -> list[model.TopicFigures]:
    ours = topic_configs(context.settings)
    read = {context.settings.transactions_topic, context.settings.alerts_topic}
    found = []
    for topic in kafka.topics:
        if topic.name not in ours:
            continue
        by_query = [lag for group, lag in topic.groups.items() if "query_" in group]
        lag = None
        if consumer is not None and topic.name in read:
            at = consumer.offsets
            lag = sum(max(0, one.end - at.get(f"{topic.name}/{one.number}", 0)) for one in topic.partitions)
        found.append(
            model.TopicFigures(
                topic.name, len(topic.partitions), topic.records, topic.size_bytes, lag, max(by_query, default=None)
            )
        )
    order = list(ours)
    return sorted(found, key=lambda topic: order.index(topic.name))


def _disk(settings: Settings) -> model.Disk:
    there = next(path for path in (settings.state_path, *settings.state_path.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return model.Disk(str(settings.state_path), usage.free, usage.total)
