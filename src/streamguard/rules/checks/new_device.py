"""New device: a device that this account never used."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("new_device", version=1, limits=("enough_history",))
def new_device(alert: Alert, context: Context) -> Verdict:
    """Raise the score when the device is none of those the account used before."""
    transaction = context.transaction
    if transaction is None or transaction.device_id is None:
        return ABSTAIN
    seen = {earlier.device_id for earlier in context.history if earlier.device_id is not None}
    if len(context.history) < context.limits.enough_history or not seen or transaction.device_id in seen:
        return ABSTAIN
    devices = f"{len(seen)} device{'s' if len(seen) != 1 else ''}"
    return Verdict(15, f"device {transaction.device_id} is new; {devices} known", facts={"known_devices": len(seen)})
