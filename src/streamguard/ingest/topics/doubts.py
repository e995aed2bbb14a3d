"""Fields that read well and would still be another value: what the SQL would round, mistake or pick by chance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from streamguard.ingest.topics.fields import Field

_IDS = ("transaction_id", "account_id", "merchant_id", "device_id")
_OF_STRIPE = frozenset("charge payment_intent refund invoice payout balance_transaction".split())
_CENTS = frozenset("cents cent minor centavos pence paise kobo".split())


def doubt_of(name: str, leaf: Field, sql: str, leaves: Sequence[Field], records: int, is_told: bool) -> str | None:
    """Why `leaf`, which is `sql` in the stream, cannot be taken for the field `name`; None where it can.

    `is_told`: a person has named this field. Numbers that are rounded are refused even so.
    """
    if name in _IDS and (rounded := next(filter(_is_rounded, leaf.values), None)) is not None:
        return f"{leaf.name} has numbers such as {rounded}, which ksqlDB rounds: have them written as text"
    if is_told:
        return None
    for other in leaves:
        same = other.name != leaf.name and other.name.lower() == leaf.name.lower()
        if same and len(other.values) + len(leaf.values) > records:
            return f"{leaf.name} and {other.name} differ in letter case alone: --map {name}={leaf.name} says that it is this one"
    if name == "amount" and _is_whole(leaf) and _counts_cents(leaf, leaves):
        return (
            f"whole numbers in {leaf.name} that count the smallest unit of the currency: --map amount='{sql} / 100.0' "
            "where it has two decimals"
        )
    return None


def _is_rounded(value: Any) -> bool:
    if isinstance(value, bool | str):
        return False
    return bool(abs(value) >= (2**63 if isinstance(value, int) else 2**53))


def _is_whole(leaf: Field) -> bool:
    return all(isinstance(value, int) or (isinstance(value, str) and value.isdigit()) for value in leaf.values)


def _counts_cents(leaf: Field, leaves: Sequence[Field]) -> bool:
    """Whether its name says so, or what stands beside it: a unit, or the kind of object that Stripe writes."""
    if set(re.split(r"[^a-z]+", leaf.path[-1].lower())) & _CENTS:
        return True
    beside = [other for other in leaves if other.path[:-1] == leaf.path[:-1] and other.path != leaf.path]
    return any(
        (other.path[-1] == "object" and _OF_STRIPE & set(map(str, other.values)))
        or ("unit" in other.path[-1].lower() and _CENTS & {str(value).lower() for value in other.values})
        for other in beside
    )
