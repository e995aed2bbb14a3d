"""The database: schema, map and engine. The rows are written by `streamguard.consumer.store`."""

from streamguard.database.engine import is_outage, lay_schema, make_engine, sentence_of, state_of
from streamguard.database.tables import (
    AlertTransactionRow,
    AllowlistRow,
    Base,
    BlacklistRow,
    ConsumerOffsetRow,
    DeadLetterRow,
    DecisionRow,
    FraudAlertRow,
    RetentionCutRow,
    RuleModeRow,
    TransactionRecordRow,
    TransactionRow,
)

__all__ = [
    "AlertTransactionRow",
    "AllowlistRow",
    "Base",
    "BlacklistRow",
    "ConsumerOffsetRow",
    "DeadLetterRow",
    "DecisionRow",
    "FraudAlertRow",
    "RetentionCutRow",
    "RuleModeRow",
    "TransactionRecordRow",
    "TransactionRow",
    "is_outage",
    "lay_schema",
    "make_engine",
    "sentence_of",
    "state_of",
]
