"""Payments as records of the topic `transactions`, and the recorded ones that are sent as they are.

What `--to-file` wrote holds more than payments: records that are broken on purpose (`raw`, `defect`) and records of another
topic (a chargeback). They are recognised by those members and sent as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from streamguard.ingest.errors import BadRow
from streamguard.ingest.mapping import MARKS
from streamguard.ingest.payments import Payment, PaymentReader
from streamguard.producer.chargebacks import TOPIC as LABELS_TOPIC
from streamguard.producer.record import Record

_RECORDED = ("topic", "raw", "defect")


def record_of(payment: Payment) -> Record:
    """The record of a payment; its key is the account."""
    fields = payment.fields
    record = Record(fields["account_id"].encode(), value_of(payment), fields["event_time"])
    return _marked(record, payment.marks) if payment.marks else record


def value_of(payment: Payment) -> bytes:
    """The value of its record."""
    fields = payment.fields
    amount = fields.get("amount")
    if type(amount) is Decimal:
        fields = {**fields, "amount": _as_number(amount)}
    return orjson.dumps(fields, default=_as_number)


def _as_number(value: Any) -> Any:
    """An amount has at most 15 digits: as a float it is printed with the same ones."""
    if isinstance(value, Decimal):
        return float(value)
    return str(value)


class RowRecords:
    """Turns rows into records; `latest_ms` is the last event time that the consumer takes, None for any."""

    def __init__(self, reader: PaymentReader, has_recorded: bool, latest_ms: int | None = None) -> None:
        self._read = reader.read
        self._has_recorded = has_recorded
        self._latest_ms = latest_ms
        self._last_ms = 0

    def __call__(self, values: Any) -> Record:
        """The record of a row; raises BadRow."""
        if self._has_recorded and isinstance(values, dict) and not values.keys().isdisjoint(_RECORDED):
            record = _recorded(values, self._last_ms)
        else:
            record = record_of(self._read(values))
            if self._latest_ms is not None and record.event_time > self._latest_ms:
                reason = "event_time is further ahead of the clock than the consumer takes"
                raise BadRow(f"{reason} (got {record.event_time}; STREAMGUARD_MAX_AHEAD_S sets how far)", reason)
        self._last_ms = record.event_time
        return record


def _recorded(values: dict[str, Any], last_ms: int) -> Record:
    """A record that was recorded as it is; raises BadRow."""
    fields = {name: value for name, value in values.items() if name not in MARKS}
    marks = {name: str(values[name]) for name in MARKS if values.get(name)}
    topic = str(fields.pop("topic", ""))
    if topic:
        return _marked(_label_record(fields, topic), marks)
    if "raw" in fields:
        raw = fields["raw"]
        try:
            value = None if raw is None else str(raw).encode("latin-1")
        except UnicodeEncodeError:
            raise BadRow("raw has characters beyond Latin-1: it is made of bytes") from None
        return _marked(Record(str(fields.get("key", "")).encode(), value, last_ms), marks)
    account, event_time = fields.get("account_id"), fields.get("event_time")
    if not isinstance(account, str):
        raise BadRow(f"account_id is {account!r}: a string is expected", "account_id is no string")
    time_ms = event_time if isinstance(event_time, int) else last_ms
    return _marked(Record(account.encode(), orjson.dumps(fields, default=_as_number), time_ms), marks)


def _marked(record: Record, marks: dict[str, str]) -> Record:
    label, lookalike, incident, defect = (marks.get(name, "") for name in MARKS)
    return record._replace(label=label, lookalike=lookalike, incident=incident, defect=defect)


def _label_record(fields: dict[str, Any], topic: str) -> Record:
    """A chargeback, the only record beside transactions that a file may hold; raises BadRow."""
    account, reported_at = fields.get("account_id"), fields.get("reported_at")
    if topic != LABELS_TOPIC:
        raise BadRow(f"topic is {topic!r}: only {LABELS_TOPIC} may be named")
    if not isinstance(account, str) or not isinstance(reported_at, int):
        raise BadRow(f"a record of {topic} needs account_id and reported_at")
    return Record(account.encode(), orjson.dumps(fields), reported_at, topic=topic)


def shifted(records: Iterator[Record], by_ms: int) -> Iterator[Record]:
    """The records moved in time, in the value as well."""
    for record in records:
        try:
            fields = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            yield record
            continue
        if isinstance(fields, dict) and isinstance(fields.get("event_time"), int):
            fields["event_time"] += by_ms
            record = record._replace(value=orjson.dumps(fields))
        yield record._replace(event_time=record.event_time + by_ms)


Refuse = Callable[[Any, BadRow], None]
