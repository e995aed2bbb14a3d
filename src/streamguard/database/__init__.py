"""The database: schema, map and engine. The rows are written by `streamguard.consumer.store`."""

from streamguard.database.engine import is_outage, lay_schema, make_engine, sentence_of
from streamguard.database.tables import (
    AlertTransactionRow,
    Base,
    BlacklistRow,
    ConsumerOffsetRow,
    DeadLetterRow,
    DecisionRow,
    FraudAlertRow,
    TransactionRow,
)

__all__ = [
    "AlertTransactionRow",
    "Base",
    "BlacklistRow",
    "ConsumerOffsetRow",
    "DeadLetterRow",
    "DecisionRow",
    "FraudAlertRow",
    "TransactionRow",
    "is_outage",
    "lay_schema",
    "make_engine",
    "sentence_of",
]
