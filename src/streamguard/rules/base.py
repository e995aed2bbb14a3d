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
    """The version of an incident that is judged. Instants are in UTC; the window is [window_start, window_end)."""

    alert_id: str
    rule: str
    account_id: str
    tx_count: int
    amount: Decimal | None
    window_start: datetime | None
    window_end: datetime | None
    detected_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """One stored transaction, as far as rules look at it."""

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
    """An entry of the blacklist or the allow-list that matches the payment."""

    kind: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What is known around an alert, read once per batch.

    `history` holds the account's payments that stood before `payment` in the log, newest first, at most
    `HISTORY_LENGTH`; never a later one, so that a re-run judges on the same facts.
    """

    payment: Payment | None
    history: tuple[Payment, ...] = ()
    listed: tuple[Listed, ...] = ()
    allowed: tuple[Listed, ...] = ()
    confirmed_before: int = 0
    dismissed_before: int = 0
    """Incidents of the account that analysts confirmed and dismissed."""
    limits: RuleLimits = DEFAULT_LIMITS


HISTORY_LENGTH = 50
"""How many of the account's earlier payments a rule can see."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule makes of an alert. `score` is added to the whole (it may be negative); `outcome` overrides it."""

    score: int
    reason: str
    outcome: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


SILENT = Verdict(0, "")
"""The verdict of a rule that has nothing to say."""


class Rule(Protocol):
    """A judgement: pure, and quick (it runs for every alert)."""

    def __call__(self, alert: Alert, context: Context) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Registered:
    """A rule with its name and version; decisions keep both."""

    name: str
    version: int
    judge: Rule


REGISTRY: dict[str, Registered] = {}


def rule(name: str, *, version: int) -> Callable[[Rule], Rule]:
    """Register a judgement under a name; registering a name twice is a mistake and says so."""

    def register(judge: Rule) -> Rule:
        if name in REGISTRY:
            raise ValueError(f"the rule {name!r} is registered twice")
        REGISTRY[name] = Registered(name, version, judge)
        return judge

    return register
