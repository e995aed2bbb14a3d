"""The records of the three topics as typed values, for sinks that have columns or types of their own."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from functools import cache
from typing import Any

import orjson

from streamguard.config import Settings
from streamguard.models import Decision, FraudAlert, Transaction
from streamguard.models.columns import loads
from streamguard.models.fields import INSTANT, MAX_TIME_MS, parts
from streamguard.models.records import BadRecord
from streamguard.sinks.base import SinkRecord

Model = Transaction | FraudAlert | Decision

TABLES: dict[str, type[Transaction] | type[FraudAlert] | type[Decision]] = {
    "transactions": Transaction,
    "fraud_alerts": FraudAlert,
    "decisions": Decision,
}
"""The model of each table; its name is that of the topic by default."""
TIME_OF = {"transactions": "event_time", "fraud_alerts": "detected_at", "decisions": "decided_at"}
"""The field that says when it was, and so in which day's part it is."""
REJECTED = "rejected"
"""The table of what is no valid record of its topic."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def tables_of(settings: Settings) -> dict[str, str]:
    """The table of each topic, by the names that the settings give to the topics."""
    topics = (settings.transactions_topic, settings.alerts_topic, settings.decisions_topic)
    return dict(zip(topics, TABLES, strict=True))


@cache
def times_of(table: str) -> frozenset[str]:
    """The fields of a table that are instants, in epoch milliseconds."""
    fields = TABLES[table].model_fields
    marked = {name for name, field in fields.items() if INSTANT in {*field.metadata, *parts(field.annotation)}}
    return frozenset({*marked, TIME_OF[table]})


def read(table: str, record: SinkRecord) -> Model:
    """The record as its model. Raises BadRecord, whose text is the reason."""
    if table == "decisions":
        return _decision(record.value)
    model = FraudAlert if table == "fraud_alerts" else Transaction
    return model.from_record(record.value, record.key)


def _decision(value: bytes | None) -> Decision:
    """A decision whose numbers and texts have a place in every sink."""
    if value is None:
        raise BadRecord("the record has no value")
    decision = Decision.from_json(value)
    try:
        decision.to_json()
    except TypeError as error:
        raise BadRecord(f"it cannot be stored: {error}") from None
    if not all(-(2**63) <= number < 2**63 for number in (decision.tx_count, decision.score or 0)):
        raise BadRecord("a number above 64 bits cannot be stored")
    if not 0 <= decision.decided_at < MAX_TIME_MS:
        raise BadRecord("decided_at is no time in epoch milliseconds")
    return decision


def is_fraud(record: SinkRecord) -> bool | None:
    """What the generator says of a transaction in the header `label`; None where there is no such header."""
    return next((bool(value) for name, value in record.headers if name == "label"), None)


def other_fields(table: str, record: SinkRecord) -> str | None:
    """The fields that the model does not know in a value that fits it, as JSON; None where there are none."""
    known = TABLES[table].model_fields
    value = loads(record.value or b"")
    unknown = {name: field for name, field in value.items() if name.lower() not in known}
    if not unknown:
        return None
    try:
        return orjson.dumps(unknown).decode()
    except TypeError:
        # Half a pair of surrogates, or a number of more than 64 bits.
        return json.dumps(unknown)


def instant(time_ms: int) -> datetime:
    """Epoch milliseconds as a time, UTC."""
    return _EPOCH + time_ms * _MILLISECOND


def day_of(time_ms: int) -> date:
    """The day of a time, UTC."""
    return instant(time_ms).date()


def values(table: str, model: Model) -> dict[str, Any]:
    """The fields of a record: amounts are decimals, instants are datetimes, verdicts a list."""
    times = times_of(table)
    return {
        name: instant(value) if name in times and value is not None else value for name, value in dict(model).items()
    }
