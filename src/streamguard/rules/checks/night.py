"""Night: was the transaction made while people sleep where it was made?"""

from __future__ import annotations

from datetime import timedelta

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("night", version=1, severity="low", limits=("night_from_hour", "night_until_hour"))
def night(alert: Alert, context: Context) -> Verdict:
    """Raise the score between the hours of the night by the sun: 15 degrees of longitude are an hour.

    Without a longitude the rule abstains: night in UTC is noon elsewhere.
    """
    transaction = context.transaction
    if transaction is None or transaction.longitude is None:
        return ABSTAIN
    local = transaction.event_time + timedelta(hours=round(transaction.longitude / 15))
    first, last = context.limits.night_from_hour, context.limits.night_until_hour
    at_night = first <= local.hour < last if first <= last else local.hour >= first or local.hour < last
    if not at_night:
        return ABSTAIN
    return Verdict(10, f"made at night, about {local:%H:%M} local time", facts={"local_hour": local.hour})
