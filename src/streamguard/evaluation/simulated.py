"""Scorecards of the generator's frauds: a simulated span of each profile through the rules that run, in this process.

The alerts that count are those that the decision did not dismiss: what reaches people. docs/scorecards.md holds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamguard.evaluation.replay import TRANSACTIONS, Places, Replay, RuleSet, Sent
from streamguard.evaluation.stream import Evaluation
from streamguard.models import FraudAlert
from streamguard.producer.runs import Recipe, Run

DAY_S = 86_400.0
BATCH = 5_000
PROFILES = ("br", "generic-card", "ke-mpesa", "psp")


@dataclass(frozen=True)
class Span:
    """What is simulated of each profile: always the same records, for the seed is fixed."""

    days: float = 3.0
    fraud_share: float = 0.02
    seed: int = 7
    customers: int = 1_000


@dataclass(frozen=True)
class Simulated:
    """The scorecard of one profile, and its alerts by rule: all, and those that were not dismissed."""

    profile: str
    limits: dict[str, str]
    """The values of DEFINEs that fit its currency."""
    evaluation: Evaluation
    raised: Counter[str]
    kept: Counter[str]


def scorecard(profile: str, rules: RuleSet, span: Span) -> Simulated:
    """Simulate a profile and score it, with limits that fit its currency. Raises UserError."""
    run = Run(Recipe(profile, span.seed, span.customers, fraud_share=span.fraud_share, chargebacks=True))
    start_ms, end_ms = run.span(None, None, span.days * DAY_S, 0)
    limits = {"high_amount": f"{run.profile.high_amount:g}"}
    replay, places = Replay(replace(rules, given={**rules.given, **limits})), Places()
    records = list(run.batch(None, start_ms, end_ms, end_ms))
    raised: Counter[str] = Counter()
    alerts: list[FraudAlert] = []
    for first in range(0, len(records), BATCH):
        batch = records[first : first + BATCH]
        placed = [places.place(Sent(r.topic or TRANSACTIONS, r.key, r.value, r.event_time)) for r in batch]
        for judged in replay.feed(placed):
            raised[judged.alert.rule] += 1
            if judged.decision.outcome != "dismiss":
                alerts.append(judged.alert)
    evaluation = Evaluation(alerts)
    for record in records:
        if not record.topic:
            evaluation.add(record)
    return Simulated(profile, limits, evaluation, raised, Counter(alert.rule for alert in alerts))


def page_of(found: Sequence[Simulated], span: Span, command: str) -> str:
    """docs/scorecards.md."""
    parts = [_HEAD.format(command=command, days=span.days, share=100 * span.fraud_share, customers=span.customers)]
    for one in found:
        limits = ", ".join(f"`{name}` {value}" for name, value in one.limits.items())
        rules = "\n".join(f"| {rule} | {count:,} | {one.kept[rule]:,} |" for rule, count in sorted(one.raised.items()))
        lines = "\n".join(one.evaluation.lines())
        parts.append(
            f"## {one.profile}\n\nWith {limits}.\n\n```text\n{lines}\n```\n\n"
            f"| rule | versions of alerts | not dismissed |\n|---|---|---|\n{rules}\n"
        )
    return "\n".join(parts)


_HEAD = """\
# Scorecards of the simulated frauds

Written by `{command}`; a test compares this page with what the command gives.

For each profile of the generator {days:g} days of {customers:,} customers, {share:g} % of the transactions fraud, through all
rules of `ksqldb/rules.yaml`, the Python rules and the decision, with chargebacks. An alert counts where it is not dismissed. The
limit on single amounts is that of the profile, for the rules of `queries.sql` know one currency.

An incident is caught where an alert covers one of its transactions; the delay is from its first transaction to the first
alert. False alerts cover no fraud; look-alikes are honest habits that resemble one.
"""
