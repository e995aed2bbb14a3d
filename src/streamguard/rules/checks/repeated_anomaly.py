"""Repeated anomaly: one unusual amount is chance, several within days are somebody who empties an account."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule

COUNT_ANOMALIES = frozenset({"UNUSUAL_AMOUNT", "HIGH_FOR_ACCOUNT", "REPEATED_UNUSUAL"})
"""SQL rules whose `tx_count` is the number of unusual amounts of the account within days, this transaction included."""

POINTS_EACH, AT_MOST = 10, 40


@rule("repeated_anomaly", version=1, severity="high")
def repeated_anomaly(alert: Alert, context: Context) -> Verdict:
    """Raise the score with each unusual amount that the account had in the days before, up to four."""
    if alert.rule not in COUNT_ANOMALIES or alert.tx_count < 2:
        return ABSTAIN
    earlier = alert.tx_count - 1
    amounts = f"{earlier} unusual amount{'s' if earlier != 1 else ''}"
    points = min(POINTS_EACH * earlier, AT_MOST)
    return Verdict(points, f"{amounts} of this account shortly before", facts={"unusual_before": earlier})
