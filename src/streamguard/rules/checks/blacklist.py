"""Blacklist: accounts, merchants, devices, addresses and countries that must not pay."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("blacklist", version=1, severity="high")
def blacklist(alert: Alert, context: Context) -> Verdict:
    """Block when the account, merchant, device, address or country of the transaction is listed at the alert's time."""
    if not context.listed:
        return ABSTAIN
    said = "; ".join(f"{entry.kind} {entry.value} is blacklisted: {entry.reason}" for entry in context.listed)
    return Verdict(100, said, outcome="block", facts={"listed": [entry.kind for entry in context.listed]})
