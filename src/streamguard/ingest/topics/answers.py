"""What the owner of a topic says about it on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamguard.models import Transaction


@dataclass(frozen=True)
class Answers:
    """All optional: what is not said is found out, or asked for."""

    given: Mapping[str, str] = field(default_factory=dict)
    """Names of a transaction's fields to a field of the records, by its dotted path, or to an expression of SQL."""
    zone: str | None = None
    """The time zone of times that name none, such as America/Sao_Paulo."""
    day_first: bool | None = None
    """Whether 03/04/2025 is in April."""


TEXT_FIELDS = tuple(
    "transaction_type channel merchant_id merchant_name merchant_category city country device_id ip_address".split()
)
NUMBER_FIELDS = ("latitude", "longitude")
FIELDS = tuple(Transaction.model_fields)
"""The fields of a transaction in the order of the stream `transactions`, but that account_id is its key there."""
