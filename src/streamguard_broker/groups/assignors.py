"""The assignors of groups of the consumer protocol: who should have which partition. Pure functions of their arguments.

Both take the topics that each member subscribes to, in the members' order of precedence, the topics that exist, and the
assignment of before; both give every partition of a subscribed topic to exactly one of its subscribers.

- `range`: of each topic on its own, members get neighbouring partitions, the first of them one more each (KIP-848).
- `uniform`: numbers of partitions as equal as subscriptions allow; as much as possible stays where it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple

Partition = tuple[uuid.UUID, int]
"""Topic id and index: a topic that is created again under its name is another one."""


class TopicInfo(NamedTuple):
    """A topic as assignors see it."""

    id: uuid.UUID
    partitions: int


Subscriptions = Mapping[str, frozenset[str]]
"""Member id -> names of topics."""
Topics = Mapping[str, TopicInfo]
Assignment = dict[str, frozenset[Partition]]
"""Member id -> partitions; every member is in it."""
Assignor = Callable[[Subscriptions, Topics, Mapping[str, frozenset[Partition]]], Assignment]


def assign_range(members: Subscriptions, topics: Topics, before: Mapping[str, frozenset[Partition]]) -> Assignment:
    """Of each topic, neighbouring partitions to its subscribers in turn; `before` has no influence."""
    assigned: dict[str, set[Partition]] = {member: set() for member in members}
    for name in sorted(topics):
        topic, subscribers = topics[name], [m for m, names in members.items() if name in names]
        start = 0
        for index, member in enumerate(subscribers):
            more = topic.partitions // len(subscribers) + (index < topic.partitions % len(subscribers))
            assigned[member].update((topic.id, p) for p in range(start, start + more))
            start += more
    return {member: frozenset(partitions) for member, partitions in assigned.items()}


def assign_uniform(members: Subscriptions, topics: Topics, before: Mapping[str, frozenset[Partition]]) -> Assignment:
    """Numbers of partitions that no single move makes more equal, with as few moves from `before` as that takes."""
    subscribers = {t.id: [m for m, names in members.items() if name in names] for name, t in topics.items()}
    counts = {t.id: t.partitions for t in topics.values()}
    assigned: dict[str, set[Partition]] = {member: set() for member in members}
    free = {(topic, p) for topic, count in counts.items() if subscribers[topic] for p in range(count)}
    for member in members:
        kept = {tp for tp in before.get(member, ()) if tp in free and member in subscribers[tp[0]]}
        assigned[member] |= kept
        free -= kept
    for partition in sorted(free):
        least = min(subscribers[partition[0]], key=lambda m: len(assigned[m]))
        assigned[least].add(partition)
    while any(_level(topic, among, assigned) for topic, among in subscribers.items() if among):
        pass
    return {member: frozenset(partitions) for member, partitions in assigned.items()}


def _level(topic: uuid.UUID, among: list[str], assigned: dict[str, set[Partition]]) -> bool:
    """Move partitions of one topic from who has most in all to who has least; whether any moved.

    Each move makes the sum of squares of the numbers smaller: it ends.
    """
    of_topic = {m: sorted(tp for tp in assigned[m] if tp[0] == topic) for m in among}
    moved = False
    while True:
        least = min(among, key=lambda m: len(assigned[m]))
        most = max((m for m in among if of_topic[m]), key=lambda m: len(assigned[m]), default=least)
        if len(assigned[most]) - len(assigned[least]) < 2:
            return moved
        partition = of_topic[most].pop()
        of_topic[least].append(partition)
        assigned[most].remove(partition)
        assigned[least].add(partition)
        moved = True


ASSIGNORS: dict[str, Assignor] = {"uniform": assign_uniform, "range": assign_range}
"""By Kafka's names; the first is the default."""
