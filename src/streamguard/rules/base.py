"""The protocol of the Python rules: `(alert, context) -> Verdict`.

A rule is one file with one `@rule` function, and one test. It may look at nothing but its two arguments: no clock, no
database, no settings of its own, so that the same alert is judged alike today, after a crash and in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from streamguard.rules.limits import RuleLimits

DEFAULT_LIMITS = RuleLimits()


@dataclass(frozen=True, slots=True)
class Alert:
    """The version of an alert that is judged. Instants are in UTC; the window is [window_start, window_end)."""

    alert_id: str
    rule: str
    account_id: str
    tx_count: int
    amount: Decimal | None
    window_start: datetime | None
    window_end: datetime | None
    detected_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A stored transaction, as far as rules look at it: every field is a column of `transactions`."""

    transaction_id: str
    amount: Decimal
    currency: str
    merchant_id: str | None
    merchant_category: str | None
    country: str | None
    longitude: float | None
    device_id: str | None
    ip_address: str | None
    event_time: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the blacklist or the allowlist that matches the transaction."""

    kind: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What is known around an alert, read once per batch.

    `history` holds the account's transactions before `transaction` in its partition, newest first, at most
    `HISTORY_LENGTH`; never a later one, so that a re-run judges on the same facts.
    """

    transaction: StoredTransaction | None
    history: tuple[StoredTransaction, ...] = ()
    listed: tuple[Listed, ...] = ()
    allowed: tuple[Listed, ...] = ()
    confirmed_before: int = 0
    dismissed_before: int = 0
    """Alerts of the account that analysts confirmed and dismissed."""
    limits: RuleLimits = DEFAULT_LIMITS


COMPROMISED_MERCHANT = "COMPROMISED_MERCHANT"
"""The SQL rule on merchants: `tx_count` is the number of unexplained frauds, the window starts with the first of them."""

HISTORY_LENGTH = 50
"""How many of the account's earlier transactions a rule can see."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one rule. `points` are added to the score (they may be negative); `outcome` overrides it."""

    points: int
    reason: str
    outcome: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


ABSTAIN = Verdict(0, "")
"""The verdict of a rule that does not apply."""


class Rule(Protocol):
    """A judgement: pure, and quick (it runs for every alert)."""

    def __call__(self, alert: Alert, context: Context) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Registered:
    """A rule as the catalogue shows it; decisions keep name and version."""

    name: str
    version: int
    judge: Rule
    severity: str
    limits: tuple[str, ...]
    """The fields of `RuleLimits` that it reads."""

    @property
    def finds(self) -> str:
        """What the rule looks for: the first line of its docstring."""
        return (self.judge.__doc__ or "").strip().splitlines()[0]

    @property
    def file(self) -> str:
        """The module that it is in."""
        return self.judge.__module__


REGISTRY: dict[str, Registered] = {}

SEVERITIES = ("low", "medium", "high")


def rule(name: str, *, version: int, severity: str = "medium", limits: tuple[str, ...] = ()) -> Callable[[Rule], Rule]:
    """Register a judgement under a name, with what the catalogue shows of it.

    `severity` is low, medium or high: how much its hit alone means. Raises ValueError for a name that is registered
    already, for another severity, and for limits that `RuleLimits` does not have.
    """

    def register(judge: Rule) -> Rule:
        if name in REGISTRY:
            raise ValueError(f"the rule {name!r} is registered twice")
        if severity not in SEVERITIES:
            raise ValueError(f"the severity of the rule {name!r} is one of {', '.join(SEVERITIES)}, not {severity!r}")
        if unknown := set(limits) - RuleLimits.model_fields.keys():
            raise ValueError(f"RuleLimits has no {', '.join(sorted(unknown))}, which the rule {name!r} names")
        REGISTRY[name] = Registered(name, version, judge, severity, limits)
        return judge

    return register
