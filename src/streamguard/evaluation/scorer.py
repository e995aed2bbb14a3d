"""Records of labelled payments through the rules, and what these say of each payment: the part that can be divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamguard.evaluation.replay import ALERTS, LABELS, TRANSACTIONS, Judged, Places, Replay, RuleSet
from streamguard.rules.decide import ACTIVE

BATCH = 10_000
"""Records that a process is given at once."""
NUMBER = "number"
"""The header of a label that says where it stands among the labels of its partition, and the partition before it."""
Numbered = tuple[int, str, bytes, bytes, int]
"""The number of a payment, or of a label among the labels, and its record: topic, key, value, time."""


class Hit(NamedTuple):
    """A version of an alert as it counts for a payment; `rules` as in `Score`."""

    payment: int
    alert_id: str
    tx_count: int
    rule: str
    points: int
    flagged: bool
    rules: frozenset[str]


@dataclass(frozen=True)
class Summary:
    """What the rules did on the way: see `Scores`."""

    unknown: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)


class Scorer:
    """A replay of numbered records. Raises DeployError."""

    def __init__(self, rules: RuleSet) -> None:
        self.replay = Replay(rules)
        self._places = Places()

    def feed(self, batch: Sequence[Numbered]) -> list[Hit]:
        """Run a batch through the rules; the hits, in the order of the payments.

        A label has its partition and its number as a header, which rows that are made of it keep.
        """
        first = list(self._places.ends(TRANSACTIONS))
        numbers: list[list[int]] = [[] for _ in first]
        placed, put = [], self._places.put
        for number, topic, key, value, time in batch:
            record = put(topic, key, value, time)
            if topic == LABELS:
                at = record.partition.to_bytes(4, "big") + number.to_bytes(8, "big")
                record = record._replace(headers=((NUMBER, at),))
            else:
                numbers[record[1]].append(number)
            placed.append(record)
        return [
            _hit(judged, numbers[judged.partition][judged.offset - first[judged.partition]])
            for judged in self.replay.feed(placed)
        ]

    def ended(self) -> dict[str, str]:
        """The queries that have ended, with the reason."""
        queries = self.replay.engine.queries.items()
        return {query_id: query.failure for query_id, query in queries if query.failure is not None}

    def summary(self, without: Collection[str] = ()) -> Summary:
        """What the queries did, but for those `without`, whose figures another process has."""
        skipped = {
            query_id: dict(query.skipped)
            for query_id, query in self.replay.engine.queries.items()
            if query.skipped and query_id not in without
        }
        if self.replay.versions.refused:
            skipped[ALERTS] = dict(self.replay.versions.refused)
        return Summary(self.replay.unknown, skipped, self.ended())


def _hit(judged: Judged, payment: int) -> Hit:
    alert, decision = judged.alert, judged.decision
    found = {v["rule"] for v in decision.verdicts if v["mode"] == ACTIVE and v["points"] > 0}
    return Hit(
        payment,
        alert.alert_id,
        alert.tx_count or 0,
        alert.rule,
        decision.score,
        decision.outcome != "dismiss",
        frozenset(found | {alert.rule}),
    )
