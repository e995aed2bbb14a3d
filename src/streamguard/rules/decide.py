"""From verdicts to a decision: the points of active rules add up, an outcome that one insists on wins.

A rule in shadow is asked and recorded, and has no effect; a rule that is off is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from streamguard.rules.base import Alert, Context, Registered, Verdict

ACTIVE, SHADOW, OFF = "active", "shadow", "off"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules together say of one version of an alert."""

    outcome: str
    score: int
    reason: str
    verdicts: list[dict[str, Any]]


def decide(
    alert: Alert,
    context: Context,
    rules: Iterable[Registered],
    modes: Mapping[str, str],
    base: Mapping[str, int] = MappingProxyType({}),
) -> Decision:
    """Ask every rule that is not off, add up. The reason names the SQL rule first, then what the active rules said.

    `base` has what the hit of a SQL rule is worth by itself, where that is not `RuleLimits.base_score`.
    """
    asked = [(known, modes.get(known.name, ACTIVE)) for known in rules]
    verdicts = [(known, mode, known.judge(alert, context)) for known, mode in asked if mode != OFF]
    active = [verdict for _, mode, verdict in verdicts if mode == ACTIVE]
    limits = context.limits
    score = max(0, min(100, base.get(alert.rule, limits.base_score) + sum(verdict.points for verdict in active)))
    insisted = {verdict.outcome for verdict in active if verdict.outcome}
    if "block" in insisted:
        outcome = "block"
    elif "dismiss" in insisted:
        outcome = "dismiss"
    else:
        outcome = "block" if score >= limits.block_at else "review" if score >= limits.review_at else "dismiss"
    reasons = [f"{alert.rule} over {alert.tx_count} transaction{'s' if alert.tx_count != 1 else ''}"]
    reasons += [verdict.reason for verdict in active if verdict.reason]
    records = [_record(known, mode, verdict) for known, mode, verdict in verdicts]
    return Decision(outcome, score, "; ".join(reasons), records)


def _record(known: Registered, mode: str, verdict: Verdict) -> dict[str, Any]:
    """One verdict as it is kept in `decisions.verdicts`."""
    return {
        "rule": known.name,
        "version": known.version,
        "mode": mode,
        "points": verdict.points,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "facts": dict(verdict.facts),
    }
