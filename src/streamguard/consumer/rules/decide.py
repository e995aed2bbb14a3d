"""From verdicts to a decision: the scores add up, an outcome that a rule insists on wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamguard.consumer.rules.base import Alert, Context, Registered, Verdict


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the score of 0-100 turns into an outcome. `base` is what the SQL rule's hit itself is worth."""

    base: int = 50
    review_at: int = 30
    block_at: int = 90


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules together say of one version of an alert."""

    outcome: str
    score: int
    reason: str
    verdicts: list[dict[str, Any]]


def decide(alert: Alert, context: Context, rules: Iterable[Registered], limits: Limits) -> Decision:
    """Ask every rule, then add up. The reason names the SQL rule first, then all that the Python rules said."""
    said = [(known, known.judge(alert, context)) for known in rules]
    score = max(0, min(100, limits.base + sum(verdict.score for _, verdict in said)))
    insisted = {verdict.outcome for _, verdict in said if verdict.outcome}
    if "block" in insisted:
        outcome = "block"
    elif "dismiss" in insisted:
        outcome = "dismiss"
    else:
        outcome = "block" if score >= limits.block_at else "review" if score >= limits.review_at else "dismiss"
    reasons = [f"{alert.rule} over {alert.tx_count} transaction{'s' if alert.tx_count != 1 else ''}"]
    reasons += [verdict.reason for _, verdict in said if verdict.reason]
    return Decision(outcome, score, "; ".join(reasons), [_record(known, verdict) for known, verdict in said])


def _record(known: Registered, verdict: Verdict) -> dict[str, Any]:
    """One verdict as it is kept in `decisions.verdicts`."""
    return {
        "rule": known.name,
        "version": known.version,
        "score": verdict.score,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "facts": dict(verdict.facts),
    }
