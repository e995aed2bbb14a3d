"""Alarms, as the monitor has evaluated them last."""

from __future__ import annotations

import time
from collections.abc import Iterator

from streamguard.alarms import store
from streamguard.alarms.loop import EVERY_S
from streamguard.stack.health.base import Context, Finding, check

OLD_S = 8 * EVERY_S
"""Older states say nothing of now."""
FAILURES = 3
"""A receiver may be down for a moment."""


@check("An alarm fires")
def firing(context: Context) -> Iterator[Finding]:
    """What an alarm is about has checks of its own here where it stands still: it is a note."""
    kept = store.read(context.settings)
    if time.time() - kept.at_s < OLD_S:
        for alarm in kept.states.firing:
            yield Finding(
                f"the alarm {alarm.name} fires: {alarm.summary}: see its section in the runbook", serious=False
            )


@check("Alarms do not arrive")
def not_sent(context: Context) -> Iterator[Finding]:
    """A receiver has not taken what it was sent."""
    kept = store.read(context.settings)
    for name, told in kept.told.items():
        if told.failures >= FAILURES and time.time() - kept.at_s < OLD_S:
            yield Finding(
                f"alarms are not sent by {name} ({told.error}): mend it; `streamguard alarms test` says whether they arrive"
            )
