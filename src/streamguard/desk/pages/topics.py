"""Topics: what there is, and the partitions, groups and settings of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from streamguard.desk.brokers import cluster, is_behind, reads_kafka
from streamguard.desk.cluster import history_of
from streamguard.desk.pages.queue import page_of
from streamguard.desk.site import NotFound, Visit, route
from streamguard.kafka.overview import TopicFacts, overview

PAGE = 100
_INTERESTING = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")


@dataclass(frozen=True)
class TopicRow:
    """A topic in the list; `rate` is records a second, None while it is not known."""

    facts: TopicFacts
    rate: float | None

    @property
    def lag(self) -> int:
        """Records that the slowest group is behind."""
        return max(self.facts.groups.values(), default=0)


ORDERS: dict[str, Callable[[TopicRow], Any]] = {
    "name": lambda row: row.facts.name,
    "messages": lambda row: (-row.facts.records, row.facts.name),
    "size": lambda row: (-(row.facts.size_bytes or 0), row.facts.name),
    "rate": lambda row: (-(row.rate or 0), row.facts.name),
    "lag": lambda row: (-row.lag, row.facts.name),
}


@route("GET", "/topics", needs="topics.read")
@reads_kafka
def topics(visit: Visit) -> Response:
    """All topics; `q` is a part of the name, `internal` shows those that begin with an underscore too."""
    history = history_of(visit.desk.settings.kafka)
    words, internal = visit.query.get("q", "").lower(), bool(visit.query.get("internal"))
    order = visit.query.get("order", "name")
    with cluster(visit) as client:
        seen = overview(client)
    rows = [TopicRow(facts, history.rate_of(facts.name)) for facts in seen.topics if words in facts.name.lower()]
    listed = sorted(
        (row for row in rows if internal or not row.facts.is_internal), key=ORDERS.get(order, ORDERS["name"])
    )
    page = page_of(visit)
    return visit.page(
        "topics.html",
        rows=listed[(page - 1) * PAGE : page * PAGE],
        count=len(listed),
        hidden=len(rows) - len(listed),
        more=len(listed) > page * PAGE,
        page=page,
        wanted={"q": visit.query.get("q", ""), "internal": "1" if internal else "", "order": order},
        orders=ORDERS,
        ever=bool(seen.topics),
        behind=is_behind,
    )


@route("GET", "/topics/{name}/about", needs="topics.read")
@reads_kafka
def about(visit: Visit) -> Response:
    """Partitions, groups and settings of a topic."""
    name = visit.path["name"]
    with cluster(visit) as client:
        seen = overview(client)
    facts = next((found for found in seen.topics if found.name == name), None)
    if facts is None:
        raise NotFound(f"there is no topic {name}")
    history = history_of(visit.desk.settings.kafka)
    return visit.page(
        "topic_about.html",
        name=name,
        topic=facts,
        rate=history.rate_of(name),
        groups=[(group, facts.groups[group.name]) for group in seen.groups if group.name in facts.groups],
        lags=history.lag_of,
        interesting=_INTERESTING,
        behind=is_behind,
    )
