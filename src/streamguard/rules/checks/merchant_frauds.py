"""Merchant frauds: how sure is it that the merchant is compromised, and is it still?"""

from __future__ import annotations

from datetime import timedelta

from streamguard.rules.base import ABSTAIN, COMPROMISED_MERCHANT, Alert, Context, Verdict, rule


@rule("merchant_frauds", version=1, severity="high", limits=("certain_frauds", "compromise_fades_days"))
def merchant_frauds(alert: Alert, context: Context) -> Verdict:
    """Raise the score at a merchant with several unexplained frauds, lower it when the first of them is long ago."""
    if alert.rule != COMPROMISED_MERCHANT or alert.window_start is None:
        return ABSTAIN
    limits, age = context.limits, alert.detected_at - alert.window_start
    fades = age >= timedelta(days=limits.compromise_fades_days)
    points = (55 if alert.tx_count >= limits.certain_frauds else 0) - (60 if fades else 0)
    frauds = f"{alert.tx_count} unexplained fraud{'s' if alert.tx_count != 1 else ''}"
    said = f"{frauds} at this merchant, the first {age.days} days ago"
    return Verdict(points, said, facts={"frauds": alert.tx_count, "days_since_first": age.days})
