"""New device: a device that this account never used."""

from __future__ import annotations

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("new_device", version=1)
def new_device(alert: Alert, context: Context) -> Verdict:
    """Raise the score when the device is none of those the account used before."""
    payment = context.payment
    if payment is None or payment.device_id is None:
        return SILENT
    seen = {earlier.device_id for earlier in context.history if earlier.device_id is not None}
    if len(context.history) < context.limits.enough_history or not seen or payment.device_id in seen:
        return SILENT
    devices = f"{len(seen)} device{'s' if len(seen) != 1 else ''}"
    return Verdict(15, f"device {payment.device_id} is new; {devices} known", facts={"known_devices": len(seen)})
