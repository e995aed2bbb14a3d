"""Consumer groups and their reset."""

from __future__ import annotations

from typing import Literal

from kafka import KafkaAdminClient
from pydantic import Field

from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.brokers import asks_kafka
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.brokers import cluster
from streamguard.desk.pages.groups import target_words
from streamguard.desk.site import NotFound
from streamguard.kafka.overview import GroupFacts, groups_of
from streamguard.kafka.resets import apply_reset, plan_reset, target_of
from streamguard.users import audit


class PlaceOut(Model):
    """A partition of a topic."""

    topic: str
    partition: int


class MemberOut(Model):
    """A consumer of a group."""

    member_id: str
    client_id: str
    host: str
    partitions: list[PlaceOut]


class LagOut(Model):
    """Where a group is in a partition; `committed` is the next offset to read, null where there is none."""

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int | None


class GroupOut(Model):
    """A consumer group; `lag` is messages behind in all."""

    name: str
    state: str
    lag: int
    members: list[MemberOut]
    partitions: list[LagOut]


class GroupPage(Model):
    """All groups, by name."""

    groups: list[GroupOut]


class ResetIn(Model):
    """Where to: `value` is the offset or the time (UTC, or so long ago: `2h`) of those ways. Without `apply` it is only shown."""

    topic: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")
    way: Literal["earliest", "latest", "offset", "time"]
    value: str = Field("", max_length=40, pattern=r"^[^\x00]*$")
    partition: int | None = Field(None, ge=0, le=10**9 - 1)
    apply: bool = False
    reason: str = WHY


class MoveOut(Model):
    """The offset of a partition before, null where there was none, and after."""

    partition: int
    before: int | None
    after: int


class ResetOut(Model):
    """What a reset does, or did."""

    group: str
    topic: str
    applied: bool
    moves: list[MoveOut]


@endpoint("GET", "/groups", needs="topics.read", gives=GroupPage)
def groups(call: Call, given: Model) -> GroupPage:
    """All consumer groups with members and lag."""
    with asks_kafka(call), cluster(call) as client:
        return GroupPage(groups=[_group(facts) for facts in groups_of(client)])


@endpoint("GET", "/groups/{name:path}", needs="topics.read", gives=GroupOut)
def group(call: Call, given: Model) -> GroupOut:
    """One consumer group."""
    with asks_kafka(call), cluster(call) as client:
        return _group(_known(client, call.path["name"]))


@endpoint("POST", "/groups/{name:path}/reset", needs="topics.change", takes=ResetIn, gives=ResetOut)
def reset(call: Call, given: ResetIn) -> ResetOut:
    """Show where a group that has no members would move, or move it."""
    name, target = call.path["name"], target_of(target_words(given.way, given.value))
    partitions = [] if given.partition is None else [given.partition]
    with asks_kafka(call), call.database() as connection, cluster(call) as client:
        _known(client, name)
        moves = plan_reset(client, name, given.topic, target, partitions)
        if given.apply:
            apply_reset(client, name, moves)
            audit.note(
                connection,
                call.user,
                "topics.change",
                f"group {name} in {given.topic}",
                reason=given.reason,
                before={str(move.partition.partition): move.before for move in moves},
                after={str(move.partition.partition): move.after for move in moves},
            )
    shown = [MoveOut(partition=m.partition.partition, before=m.before, after=m.after) for m in moves]
    return ResetOut(group=name, topic=given.topic, applied=given.apply, moves=shown)


def _known(client: KafkaAdminClient, name: str) -> GroupFacts:
    found = groups_of(client, [name])
    if not found:
        raise NotFound(f"there is no group {name[:80]}")
    return found[0]


def _group(facts: GroupFacts) -> GroupOut:
    members = [
        MemberOut(
            member_id=member.member_id,
            client_id=member.client_id,
            host=member.host,
            partitions=[PlaceOut(topic=place.topic, partition=place.partition) for place in member.partitions],
        )
        for member in facts.members
    ]
    lags = [
        LagOut(
            topic=lag.partition.topic,
            partition=lag.partition.partition,
            committed=lag.committed,
            end=lag.end,
            lag=lag.records,
        )
        for lag in facts.lags
    ]
    return GroupOut(name=facts.name, state=facts.state, lag=facts.lag, members=members, partitions=lags)
