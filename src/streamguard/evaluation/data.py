"""Labelled payments: what the rules are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamguard.config import UserError
from streamguard.ingest.refusals import Refusals

DAY_MS = 86_400_000


class DataError(UserError):
    """A folder or file without labelled payments, or with too few."""


class LabelledPayment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One payment as a record of `transactions`; `at_ms` is its event time, `label` the truth: empty, or the kind of fraud.

    `amount` is in units of its currency.
    """

    at_ms: int
    account: str
    merchant: str | None
    amount: float
    label: str
    value: bytes

    @property
    def is_fraud(self) -> bool:
        return bool(self.label)

    @property
    def day(self) -> int:
        """Days since 1970, UTC."""
        return self.at_ms // DAY_MS


@dataclass(frozen=True)
class Labelled:
    """Payments by time, how many rows of the files are none, and what each file was taken for."""

    payments: list[LabelledPayment]
    refusals: Refusals
    files: list[str]
