"""How far queries have read: from the topics of transactions, through those that queries write, to the alerts.

A query that has committed an offset has written what results from the records before it. So a rule has raised its alerts on
all transactions before given offsets once each query that leads to it, the first one first, has committed the ends of its
topics: of transactions those offsets, of the others the ends after the queries that write them were waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition

from streamguard.kafka.clients import Servers
from streamguard.kafka.lags import Lag, ends_of, group_lag, has_record
from streamguard.sqldeploy.modes import PAUSED
from streamguard.sqldeploy.script import DeployError
from streamguard.sqldeploy.state import Server

_POLL_S = 0.1
_NO_PROGRESS_S = 60.0
_READ_WITHIN_S = 5.0

Offsets = Mapping[int, int]


@dataclass(frozen=True)
class Flow:
    """A query that runs: its group, and the topics that it reads and writes."""

    query_id: str
    state: str
    group: str
    sources: frozenset[str]
    sinks: frozenset[str]


@dataclass(frozen=True)
class Behind:
    """A query that still has records to read."""

    query_id: str
    records: int

    def __str__(self) -> str:
        return f"{self.query_id} has {self.records:,} records to read"


def upstream(server: Server, query_ids: Collection[str], raw_topic: str) -> list[Flow]:
    """The queries of these ids, in upper case, and those that lead from `raw_topic` to them, the first one first."""
    running = {str(query["id"]).upper(): query for query in server.running()}
    topics = server.topics()
    found: dict[str, Flow] = {}

    def visit(query_id: str) -> None:
        if query_id in found or query_id not in running:
            return
        flow = _flow(server, running[query_id], topics)
        found[query_id] = flow  # Also where queries read from each other in a circle.
        for other, query in running.items():
            if set(query.get("sinkKafkaTopics") or ()) & (flow.sources - {raw_topic}):
                visit(other)
        del found[query_id]
        found[query_id] = flow

    for query_id in query_ids:
        visit(query_id)
    return list(found.values())


def wait_read(
    client: KafkaAdminClient,
    servers: Servers,
    flows: Collection[Flow],
    raw: tuple[str, Offsets],
    tell: Callable[[Behind], None] = lambda _: None,
) -> None:
    """Return once `flows`, in their order, have read all records before the offsets `raw` of a topic, and what results.

    A query that is paused is left out, with what reads from it. Raises DeployError for one that has failed or that reads
    nothing any more, KafkaError.
    """
    left_out: set[str] = set()
    for flow in flows:
        if flow.state == PAUSED or flow.sources & left_out:
            left_out |= flow.sinks
        elif flow.state != "RUNNING":
            raise DeployError(f"the query {flow.query_id} does not run ({flow.state}): see `streamguard status`")
        else:
            _wait(client, servers, flow, raw, tell)


def _flow(server: Server, query: Mapping[str, Any], topics: Mapping[str, str]) -> Flow:
    described = server.explain(str(query["id"]))
    return Flow(
        str(query["id"]).upper(),
        str(query["state"]),
        str(described["consumerGroupId"]),
        frozenset(topics[name] for name in described["sources"] if name in topics),
        frozenset(query.get("sinkKafkaTopics") or ()),
    )


def _wait(
    client: KafkaAdminClient, servers: Servers, flow: Flow, raw: tuple[str, Offsets], tell: Callable[[Behind], None]
) -> None:
    """First to the ends of what the query reads, then to those of the topics of its own in between."""
    raw_topic, offsets = raw
    ends = {TopicPartition(raw_topic, number): end for number, end in offsets.items() if raw_topic in flow.sources}
    for topic in flow.sources - {raw_topic}:
        ends |= {TopicPartition(topic, number): end for number, end in ends_of(client, topic).items()}
    _wait_for(client, servers, flow, ends, tell)
    inner = {lag.partition: lag.end for lag in group_lag(client, flow.group) if lag.partition not in ends}
    _wait_for(client, servers, flow, inner, tell)


def _wait_for(
    client: KafkaAdminClient,
    servers: Servers,
    flow: Flow,
    ends: Mapping[TopicPartition, int],
    tell: Callable[[Behind], None],
) -> None:
    records, progressed_at = -1, time.monotonic()
    while lags := list(_lags(client, flow.group, ends)):
        now = sum(lag.end - (lag.committed or 0) for lag in lags)
        if now != records:
            records, progressed_at = now, time.monotonic()
            tell(Behind(flow.query_id, records))
        elif not any(has_record(servers, lag, _READ_WITHIN_S) for lag in lags):
            return  # Only markers of transactions are left.
        elif time.monotonic() - progressed_at > _NO_PROGRESS_S:
            raise DeployError(
                f"the query {flow.query_id} reads nothing any more, {records:,} records wait: see `streamguard status`"
            )
        time.sleep(_POLL_S)


def _lags(client: KafkaAdminClient, group: str, ends: Mapping[TopicPartition, int]) -> Iterator[Lag]:
    """What the group has still to read before `ends`."""
    committed = {lag.partition: lag.committed for lag in group_lag(client, group)}
    for partition, end in ends.items():
        if end > (committed.get(partition) or 0):
            yield Lag(partition, committed.get(partition), end)
