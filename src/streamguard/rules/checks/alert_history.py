"""Alert history: what analysts made of this account's earlier alerts."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("alert_history", version=1, limits=("dismissals_to_trust",))
def alert_history(alert: Alert, context: Context) -> Verdict:
    """Raise the score after a confirmed fraud, lower it after several dismissals and no confirmation."""
    facts = {"confirmed": context.confirmed_before, "dismissed": context.dismissed_before}
    if context.confirmed_before:
        alerts = f"{context.confirmed_before} alert{'s' if context.confirmed_before != 1 else ''}"
        return Verdict(25, f"{alerts} of this account confirmed as fraud", facts=facts)
    if context.dismissed_before >= context.limits.dismissals_to_trust:
        return Verdict(-15, f"{context.dismissed_before} earlier alerts dismissed, none confirmed", facts=facts)
    return ABSTAIN
