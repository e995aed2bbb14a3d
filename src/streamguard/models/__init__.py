"""The records of the topics as typed models: see `streamguard.models.records`."""

from streamguard.models.amounts import in_coins, show_amount
from streamguard.models.diagnosis import of_fields as reason_of
from streamguard.models.iso import COUNTRIES, CURRENCIES, places
from streamguard.models.records import BadRecord, DeadLetter, Decision, FraudAlert, Transaction

__all__ = [
    "COUNTRIES",
    "CURRENCIES",
    "BadRecord",
    "DeadLetter",
    "Decision",
    "FraudAlert",
    "Transaction",
    "in_coins",
    "places",
    "reason_of",
    "show_amount",
]
