"""Why an alert has its score: the SQL rule that raised it and the verdicts of the Python rules, as points that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamguard.alerts.actions import AlertDecision, AlertLine
from streamguard.rules.catalogue import SQL, Rule
from streamguard.rules.limits import RuleLimits

ACTIVE, SHADOW = "active", "shadow"


@dataclass(frozen=True)
class Reason:
    """One rule's part of a score. `start` is the sum of those before it; a rule without points abstains."""

    rule: str
    kind: str
    version: int | None
    mode: str
    points: int
    says: str
    start: int = 0
    insists_on: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Why:
    """The reasons of the newest decision of the rules, those with points first. `score` is None while undecided."""

    reasons: Sequence[Reason]
    score: int | None

    @property
    def total(self) -> int:
        """What the points of active rules add up to, before it is cut to 0 to 100."""
        return sum(reason.points for reason in self.reasons if reason.mode == ACTIVE)

    @property
    def highest(self) -> int:
        """The highest sum on the way to the total: points that are taken off come after it."""
        return max(max(reason.start, reason.start + reason.points) for reason in self.reasons)


def why(line: AlertLine, decisions: Sequence[AlertDecision], rules: Mapping[str, Rule]) -> Why:
    """The reasons of the newest decision of the rules."""
    newest = next((d for d in reversed(decisions) if d.decided_by == "rules" and d.outcome is not None), None)
    known = rules.get(line.rule)
    base = known.points if known is not None and known.points is not None else RuleLimits().base_score
    found = [Reason(line.rule, SQL, known.version if known else None, ACTIVE, base, _sql_says(line))]
    for verdict in newest.verdicts if newest is not None else ():
        found.append(
            Reason(
                str(verdict["rule"]),
                "python",
                verdict.get("version"),
                str(verdict.get("mode", ACTIVE)),
                int(verdict.get("points") or 0),
                str(verdict.get("reason") or "does not apply"),
                insists_on=verdict.get("outcome"),
                facts=verdict.get("facts") or {},
            )
        )
    found.sort(key=lambda reason: (reason.kind != SQL, reason.mode != ACTIVE, -abs(reason.points)))
    return Why(_stacked(found), newest.score if newest is not None else None)


def _sql_says(line: AlertLine) -> str:
    transactions = f"{line.tx_count} transaction{'s' if line.tx_count != 1 else ''}"
    return f"raised the alert over {transactions}"


def _stacked(reasons: Sequence[Reason]) -> list[Reason]:
    start, stacked = 0, []
    for reason in reasons:
        stacked.append(Reason(**{**vars(reason), "start": start}))
        if reason.mode == ACTIVE:
            start += reason.points
    return stacked
