"""The records of the topics as typed models: see `streamguard.models.records`."""

from streamguard.models.iso import COUNTRIES, CURRENCIES, places
from streamguard.models.records import BadRecord, DeadLetter, Decision, FraudAlert, Transaction, reason_of

__all__ = [
    "COUNTRIES",
    "CURRENCIES",
    "BadRecord",
    "DeadLetter",
    "Decision",
    "FraudAlert",
    "Transaction",
    "places",
    "reason_of",
]
