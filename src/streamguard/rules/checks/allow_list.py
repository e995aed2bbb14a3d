"""Allowlist: trusted accounts, merchants, devices, addresses and countries."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("allow_list", version=1, severity="low")
def allow_list(alert: Alert, context: Context) -> Verdict:
    """Dismiss when the account, merchant, device, address or country is allowed at the alert's time."""
    if not context.allowed:
        return ABSTAIN
    said = "; ".join(f"{entry.kind} {entry.value} is allowed: {entry.reason}" for entry in context.allowed)
    return Verdict(-50, said, outcome="dismiss", facts={"allowed": [entry.kind for entry in context.allowed]})
