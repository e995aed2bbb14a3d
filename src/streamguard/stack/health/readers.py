"""The consumer and the queries as readers of topics: does each get on, and does it keep up?

One call has to tell a reader that stands still from one whose record has come just now. Of the consumer, the database has the
time of the last progress in each partition: where that is long ago and records wait, it is watched for a moment. Of a query,
Kafka has the offset alone: earlier calls are asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from sqlalchemy import text

from streamguard.kafka.lags import Lag, group_lag, has_record, lags
from streamguard.stack.health.base import Context, Finding, check
from streamguard.stack.health.database import has_tables
from streamguard.stack.health.samples import Positions, Samples

CONSUMER = "the consumer"
"""Its name among the readers of a sample."""
_OBSERVED_S = 3.0
"""The consumer stores a record within a fraction of a second where nothing holds it up."""
_READ_WITHIN_S = 5.0

_OFFSETS = """
SELECT topic, partition_no, next_offset, extract(epoch FROM clock_timestamp() - updated_at)::FLOAT AS quiet_s
FROM consumer_offsets WHERE group_id = :group
"""


@dataclass(frozen=True)
class _Place:
    """Where the consumer is in a partition, and for how long; `quiet_s` is infinite where it never was."""

    next_offset: int
    quiet_s: float


@check("No consumer reads the topics")
def no_consumer(context: Context) -> Iterator[Finding]:
    """The consumer group has no member: the process is frozen, or cannot reach the broker."""
    process = (context.processes or {}).get("consumer")
    if context.kafka is None or (process is not None and process.up_s <= context.limit_s):
        return
    group = context.settings.consumer_group
    state = context.kafka.describe_groups([group])[group]
    if not state["members"]:
        yield Finding(
            f"no consumer is a member of the group {group}: nothing is stored;"
            " see `streamguard logs consumer`, then end the process (the supervisor starts it again)"
        )


@check("The consumer stands still")
def consumer_stands_still(context: Context) -> Iterator[Finding]:
    """Records wait in a partition in which nothing was stored for longer than the limit."""
    if context.kafka is None or not has_tables(context):
        return
    before = _places(context)
    quiet = {p for p, place in before.items() if place.quiet_s > context.limit_s}
    waiting = _waiting(context, _consumer_lags(context.kafka, before), quiet)
    if not waiting:
        return
    time.sleep(_OBSERVED_S)
    after = _places(context)
    for lag in waiting:
        if after[lag.partition].next_offset == before[lag.partition].next_offset:
            yield Finding(
                f"the consumer stands still in {_name(lag.partition)} at offset {lag.committed}: {lag.records:,} records wait"
                f"{_for(before[lag.partition].quiet_s)}; see `streamguard logs consumer`"
            )


@check("A query stands still")
def query_stands_still(context: Context) -> Iterator[Finding]:
    """Records wait for a query that committed nothing between an earlier call of `status` and this one."""
    if context.kafka is None:
        return
    samples = Samples(context.settings)
    for name, found in _queries(context, context.kafka).items():
        earlier = samples.of(name, context.limit_s)
        stuck = {lag.partition for lag in found if earlier and _was_stuck(lag, earlier)}
        for lag in _waiting(context, found, stuck):
            yield Finding(
                f"{name} stands still in {_name(lag.partition)} at offset {lag.committed}: {lag.records:,} records wait;"
                " see `SHOW QUERIES EXTENDED;` and `streamguard logs ksqldb`"
            )


@check("A reader falls behind")
def falls_behind(context: Context) -> Iterator[Finding]:
    """More records wait than at an earlier call of `status`, and more than are read within the limit."""
    if context.kafka is None:
        return
    readers = {name: _positions(found) for name, found in _queries(context, context.kafka).items()}
    if has_tables(context):
        readers[CONSUMER] = _positions(_consumer_lags(context.kafka, _places(context)))
    samples = Samples(context.settings)
    for name, now in readers.items():
        if (earlier := samples.of(name, context.limit_s)) and _falls_behind([*earlier, now]):
            yield Finding(
                f"{name} falls behind: {_lag(now):,} records wait, {_lag(now) - _lag(earlier[0]):,} more than before;"
                " send less, or move this part to a larger machine"
            )
    samples.add(readers)


def _places(context: Context) -> dict[TopicPartition, _Place]:
    """Where the consumer is in every partition of its topics."""
    assert context.kafka is not None and context.database is not None
    settings = context.settings
    rows = context.database.execute(text(_OFFSETS), {"group": settings.consumer_group})
    known = {TopicPartition(row.topic, row.partition_no): _Place(row.next_offset, row.quiet_s) for row in rows}
    topics = set(context.kafka.list_topics()) & {settings.transactions_topic, settings.alerts_topic}
    described = context.kafka.describe_topics(sorted(topics)) if topics else []
    partitions = [TopicPartition(t["name"], p["partition_index"]) for t in described for p in t["partitions"]]
    return {partition: known.get(partition, _Place(0, float("inf"))) for partition in partitions}


def _consumer_lags(kafka: KafkaAdminClient, places: Mapping[TopicPartition, _Place]) -> list[Lag]:
    return lags(kafka, {partition: place.next_offset for partition, place in places.items()})


def _queries(context: Context, kafka: KafkaAdminClient) -> dict[str, list[Lag]]:
    """The lag of each running query, by its name. Its group ends with its id, on ksqlDB too."""
    ids = [query["id"] for query in context.queries if query["state"] == "RUNNING"]
    groups = [str(group["group_id"]) for group in kafka.list_groups()] if ids else []
    return {
        f"the query {name}": group_lag(kafka, group)
        for name in ids
        for group in groups
        if group.endswith(f"query_{name}")
    }


def _waiting(context: Context, found: Iterable[Lag], among: set[TopicPartition]) -> list[Lag]:
    """Those of the partitions in which a record waits, and not only markers of transactions."""
    servers = context.settings.kafka
    return [lag for lag in found if lag.partition in among and lag.records and has_record(servers, lag, _READ_WITHIN_S)]


def _was_stuck(lag: Lag, earlier: list[Positions]) -> bool:
    """Whether every earlier sample has the reader at the same offset, with something behind it."""
    places = [sample.get(_name(lag.partition)) for sample in earlier]
    return all(place is not None and place[0] == lag.committed and place[1] > place[0] for place in places)


def _falls_behind(history: list[Positions]) -> bool:
    """Whether the lag has grown, was never gone meanwhile, and is more than was read in that time."""
    first, last = history[0], history[-1]
    read = sum(max(0, place[0] - first[name][0]) for name, place in last.items() if name in first)
    return all(map(_lag, history)) and _lag(last) > _lag(first) and _lag(last) > read


def _positions(found: Iterable[Lag]) -> Positions:
    return {_name(lag.partition): (lag.committed, lag.end) for lag in found if lag.committed is not None}


def _lag(positions: Positions) -> int:
    return sum(max(0, end - start) for start, end in positions.values())


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"


def _for(quiet_s: float) -> str:
    return "" if quiet_s == float("inf") else f", the last progress was {quiet_s:.0f} s ago"
