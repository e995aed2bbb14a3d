"""Replica assignments that an administrator gives by hand, of which one broker allows one: each partition on itself."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard_broker.errors import ErrorCode, KafkaError


def check_new_topic(assignments: Sequence[tuple[int, Sequence[int]]], node_id: int) -> int:
    """The partition count of (partition, brokers) pairs. Raises KafkaError INVALID_REPLICA_ASSIGNMENT."""
    indexes = sorted(index for index, _ in assignments)
    if len(set(indexes)) != len(indexes):
        raise _invalid("A partition has two assignments.")
    if indexes != list(range(len(indexes))):
        raise _invalid(f"Partitions must be numbered from 0 to {len(indexes) - 1}, without a gap.")
    for index, brokers in assignments:
        _check_brokers(index, brokers, node_id)
    return len(indexes)


def check_more_partitions(have: int, count: int, assignments: Sequence[Sequence[int]], node_id: int) -> None:
    """One assignment for each partition from `have` up to `count`. Raises KafkaError INVALID_REPLICA_ASSIGNMENT."""
    if len(assignments) != count - have:
        raise _invalid(f"{count - have} partitions are added, and {len(assignments)} assignments given.")
    for index, brokers in enumerate(assignments, have):
        _check_brokers(index, brokers, node_id)


def _check_brokers(partition: int, brokers: Sequence[int], node_id: int) -> None:
    if not brokers:
        raise _invalid(f"The assignment of partition {partition} has no broker.")
    if len(set(brokers)) != len(brokers):
        raise _invalid(f"The assignment of partition {partition} names a broker more than once.")
    unknown = [broker for broker in brokers if broker != node_id]
    if unknown:
        raise _invalid(f"The assignment of partition {partition} names broker {unknown[0]}; there is only {node_id}.")


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
