"""Moving the committed offsets of a consumer group: shown before it is done, and refused while the group has members."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec, OffsetTimestamp
from kafka.errors import NoError

from streamguard.config import UserError
from streamguard.kafka.overview import groups_of

IDLE_STATES = ("Empty", "Dead", "")


class ResetRefused(UserError):
    """Offsets of a group that cannot be moved; the sentence says why."""


@dataclass(frozen=True)
class Move:
    """The committed offset of a partition before and after; `before` is None where there is none."""

    partition: TopicPartition
    before: int | None
    after: int

    @property
    def records(self) -> int | None:
        """Records that will be read again (negative), or left out (positive)."""
        return None if self.before is None else self.after - self.before


def target_of(words: str) -> Any:
    """`earliest`, `latest`, an offset, or a time as `@EPOCH_MS`. Raises ResetRefused."""
    if words in ("earliest", "latest"):
        return OffsetSpec[words.upper()]
    if words.startswith("@") and words[1:].isdecimal() and len(words) < 17:
        return OffsetTimestamp(int(words[1:]))
    if words.isdecimal() and len(words) < 19:
        return int(words)
    raise ResetRefused(f"{words[:40]!r} is nothing to reset to: earliest, latest, an offset or @EPOCH_MS is needed")


def plan_reset(
    client: KafkaAdminClient, group: str, topic: str, target: Any, partitions: Iterable[int] = ()
) -> list[Move]:
    """Where a reset would move the group in a topic, or in some partitions of it; nothing is changed.

    Raises ResetRefused for a topic or group that there is not and for a group with members, KafkaError.
    """
    _check_idle(client, group)
    [described] = client.describe_topics([topic])
    if described["error_code"]:
        raise ResetRefused(f"there is no topic {topic}")
    numbers = sorted(found["partition_index"] for found in described["partitions"])
    if missing := set(partitions) - set(numbers):
        raise ResetRefused(f"the topic {topic} has no partition {min(missing)}")
    places = [TopicPartition(topic, number) for number in (sorted(set(partitions)) or numbers)]
    committed = client.list_group_offsets({group: places})[group]
    first, last = (
        client.list_partition_offsets(dict.fromkeys(places, at)) for at in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    wanted: dict[TopicPartition, int] = (
        {p: at.offset for p, at in client.list_partition_offsets(dict.fromkeys(places, target)).items()}
        if isinstance(target, OffsetSpec | OffsetTimestamp)  # both are integers too
        else dict.fromkeys(places, target)
    )
    moves = []
    for place in places:
        at = committed.get(place)
        before = int(at.offset) if at is not None and at.offset >= 0 else None
        # No record is as late as that: the end.
        after = last[place].offset if wanted[place] < 0 else wanted[place]
        moves.append(Move(place, before, min(max(after, first[place].offset), last[place].offset)))
    return moves


def apply_reset(client: KafkaAdminClient, group: str, moves: Iterable[Move]) -> None:
    """Do what was planned. Raises ResetRefused where the group has members or has moved meanwhile, KafkaError."""
    moves = list(moves)
    _check_idle(client, group)
    committed = client.list_group_offsets({group: [move.partition for move in moves]})[group]
    for move in moves:
        at = committed.get(move.partition)
        now = at.offset if at is not None and at.offset >= 0 else None
        if now != move.before:
            raise ResetRefused(
                f"{move.partition.topic}/{move.partition.partition} is at {now} now, not at {move.before}: look again"
            )
    results = client.reset_group_offsets(group, {move.partition: move.after for move in moves})
    failed = {p: found["error"] for p, found in results.items() if found["error"] is not NoError}
    if failed:
        said = ", ".join(f"{p.topic}/{p.partition} {error.__name__}" for p, error in sorted(failed.items()))
        raise ResetRefused(f"the broker did not move all of {group}: {said}")


def _check_idle(client: KafkaAdminClient, group: str) -> None:
    found = groups_of(client, [group])
    if not found:
        raise ResetRefused(f"there is no group {group}")
    if found[0].state not in IDLE_STATES or found[0].members:
        raise ResetRefused(
            f"{group} is {found[0].state} with {len(found[0].members)} members: stop them first, they would go on from where"
            " they are"
        )
