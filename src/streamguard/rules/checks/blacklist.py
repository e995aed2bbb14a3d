"""Blacklist: what stands on the list is blocked, whatever else speaks for it."""

from __future__ import annotations

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("blacklist", version=1)
def blacklist(alert: Alert, context: Context) -> Verdict:
    """Block when the account, merchant, device, address or country of the payment is listed at the alert's time."""
    if not context.listed:
        return SILENT
    said = "; ".join(f"{entry.kind} {entry.value} is blacklisted: {entry.reason}" for entry in context.listed)
    return Verdict(100, said, outcome="block", facts={"listed": [entry.kind for entry in context.listed]})
