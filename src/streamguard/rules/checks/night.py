"""Night: was the payment made while people sleep where it was made?"""

from __future__ import annotations

from datetime import timedelta

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("night", version=1)
def night(alert: Alert, context: Context) -> Verdict:
    """Raise the score between the hours of the night by the sun: 15 degrees of longitude are an hour.

    Without a longitude nothing is said: UTC's night is another place's noon.
    """
    payment = context.payment
    if payment is None or payment.longitude is None:
        return SILENT
    local = payment.event_time + timedelta(hours=round(payment.longitude / 15))
    first, last = context.limits.night_from_hour, context.limits.night_until_hour
    at_night = first <= local.hour < last if first <= last else local.hour >= first or local.hour < last
    if not at_night:
        return SILENT
    return Verdict(10, f"made at night, about {local:%H:%M} local time", facts={"local_hour": local.hour})
