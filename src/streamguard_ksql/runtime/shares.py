"""Which partitions of which queries an engine runs, where several engines share a service id: functions without I/O.

The engines of a service divide SLOTS between them. A query whose rows never leave their partition is divided by partition,
each in the slot at its place; any other is one engine's as a whole, in the slot that its name gives. ksqlDB divides those,
too, by writing rows with a new key to a topic of their own; here such rows move in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from zlib import crc32

from streamguard_ksql.plan import (
    AggregateNode,
    FilterNode,
    FlatMapNode,
    ForeignKeyJoinNode,
    MaterializeNode,
    Node,
    ProjectNode,
    SelectKeyNode,
    SinkNode,
    SourceNode,
)
from streamguard_ksql.topology import exchanges, moves_groups

SLOTS = 120
"""Many, with many divisors: shares are even for any number of engines up to MOST_ENGINES, and of partitions."""
MOST_ENGINES = 12
ALL_SLOTS = frozenset(range(SLOTS))
_PASSES_ON = (SinkNode, ProjectNode, FilterNode, FlatMapNode, MaterializeNode)

Share = dict[str, tuple[int, ...]]
"""The partitions that an engine reads, by topic."""


def is_divided(plan: Node, partitions: Mapping[str, int]) -> bool:
    """Whether several engines can run a query over topics of so many partitions, each some of them."""
    counts = set(partitions.values())
    return len(counts) == 1 and counts != {1} and _stays(plan, has_state_above=False)


def _stays(node: Node, *, has_state_above: bool) -> bool:
    """Whether the rows of a node and of those below it stay in their partition."""
    match node:
        case SourceNode():
            return True
        case SelectKeyNode():
            return not has_state_above and _stays(node.source, has_state_above=False)
        case AggregateNode():
            return not moves_groups(node) and _stays(node.source, has_state_above=True)
        case ForeignKeyJoinNode():
            return False
        case _ if isinstance(node, _PASSES_ON):
            keeps_rows = has_state_above or node.is_table
            return all(_stays(below, has_state_above=keeps_rows) for below in node.inputs)
        case _:
            return not exchanges(node) and all(_stays(below, has_state_above=True) for below in node.inputs)


def slot_of_partition(partition: int, partitions: int) -> int:
    """The slot of one of so many partitions: in the middle of its part of them, so that each engine has some."""
    return (2 * partition + 1) * SLOTS // (2 * partitions)


def slots_of(plan: Node, query_id: str, partitions: Mapping[str, int]) -> dict[int, tuple[int, ...]]:
    """The slots of a query, with the partitions of its topics in each; () is all of them."""
    if not is_divided(plan, partitions):
        return {crc32(query_id.encode()) % SLOTS: ()}
    found: dict[int, tuple[int, ...]] = {}
    count = next(iter(partitions.values()))
    for partition in range(count):
        slot = slot_of_partition(partition, count)
        found[slot] = (*found.get(slot, ()), partition)
    return found


def share_of(plan: Node, query_id: str, partitions: Mapping[str, int], slots: Collection[int]) -> Share:
    """What an engine with these slots reads of the topics of a query, by topic; empty where it is not its at all."""
    mine: list[int] = []
    for slot, own in slots_of(plan, query_id, partitions).items():
        if slot in slots:
            if not own:
                return {topic: tuple(range(count)) for topic, count in partitions.items()}
            mine += own
    return {topic: tuple(sorted(mine)) for topic in partitions} if mine else {}
