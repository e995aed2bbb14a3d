"""The records of the topics (design section 4): `Transaction`, `FraudAlert`, `Decision`, `DeadLetter`.

The life of a record on its way in:

1. The consumer hands value and key, as bytes, to `Transaction.from_record` or `FraudAlert.from_record`.
2. The value is decoded and checked against the model, names and values as ksqlDB reads columns (`columns`), so that a
   record is taken if and only if the SQL rules see it. The key has to be the account: by it ksqlDB groups.
3. What does not fit raises `BadRecord`, whose text is the reason a person reads in `dead_letters` (`diagnosis`). The same
   limits are the WHERE of every SQL rule (docs/sql-rules.md).
4. A `DeadLetter` carries that reason, the record's topic, partition and offset, and its raw bytes.

On the way out a `Decision` is what the rules or an analyst decided.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamguard.models.columns import READERS, exact_loads, loads, text_of
from streamguard.models.diagnosis import of_bytes, of_fields, of_value, shown
from streamguard.models.fields import (
    AlertId,
    Amount,
    Country,
    Currency,
    EpochMs,
    EventTime,
    Identifier,
    Latitude,
    Longitude,
    SummedAmount,
    Text,
    check_places,
    parts,
)
from streamguard.models.quick import quick_reader


class BadRecord(ValueError):
    """A record that fits no model. `str()` of it is the reason, one line, fit for `dead_letters`.

    `bare` is the same without any value of the record, for where personal data must not be kept.
    """

    def __init__(self, reason: str, bare: str | None = None) -> None:
        super().__init__(reason)
        self.bare = reason if bare is None else bare


_Readers = Mapping[str, Callable[[Any], Any]]
Model = TypeVar("Model", bound=BaseModel)


def _readers(model: type[BaseModel]) -> _Readers:
    """How each field of a model is read from what does not fit it as it is."""
    kinds = {name: parts(field.annotation) for name, field in model.model_fields.items()}
    return {name: next(READERS[kind] for kind in READERS if kind in found) for name, found in kinds.items()}


class Transaction(BaseModel):
    """One transaction. `event_time` is epoch milliseconds, UTC; `amount` has the decimal places of `currency` (`iso.places`).

    `currency` is read in any letter case and kept in upper case.

    The five fields without which no rule and no row makes sense are required; the rest is nullable, because real card
    data seldom has it. Fields we do not know are ignored: a newer producer must not stop an older consumer.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    transaction_id: Identifier
    account_id: Identifier
    amount: Amount
    currency: Currency
    transaction_type: Text | None = None
    channel: Text | None = None
    merchant_id: Text | None = None
    merchant_name: Text | None = None
    merchant_category: Text | None = None
    city: Text | None = None
    country: Country | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    device_id: Text | None = None
    ip_address: Text | None = None
    event_time: EventTime

    @model_validator(mode="after")
    def _amount_is_of_its_currency(self) -> Transaction:
        check_places(self.amount, self.currency)
        return self

    @classmethod
    def from_record(cls, value: bytes | None, key: bytes | None) -> Transaction:
        """Decode one record of `transactions`; raises BadRecord.

        ksqlDB counts by the record's key and the database by the field, so a record in which the two differ is bad.
        """
        quick = _quick_transaction(value, key)
        return _read(cls, value, key, _TRANSACTION_FIELDS) if quick is None else quick


_TRANSACTION_FIELDS = _readers(Transaction)
_quick_transaction = quick_reader(Transaction)


class FraudAlert(BaseModel):
    """An alert of a SQL rule. Times are epoch milliseconds, UTC; the window is [window_start, window_end).

    `alert_id` is natural: the same alert, raised again with more evidence, carries the same id.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    alert_id: AlertId
    rule: Identifier
    account_id: Identifier
    transaction_id: Text | None = None
    amount: SummedAmount = None
    tx_count: int | None = Field(None, ge=0, lt=2**63)
    window_start: EpochMs | None = None
    window_end: EpochMs | None = None
    detected_at: EpochMs

    @classmethod
    def from_record(cls, value: bytes | None, key: bytes | None) -> FraudAlert:
        """Decode one record of `fraud_alerts`, whose key is the account; raises BadRecord."""
        return _read(cls, value, key, _ALERT_FIELDS)


_ALERT_FIELDS = _readers(FraudAlert)


class Decision(BaseModel):
    """What the rules or an analyst decided on a version of an alert; `decided_at` is epoch milliseconds, UTC.

    `decided_by` is `rules`, with the outcome dismiss, review or block, a score of 0 to 100 and a verdict per Python rule;
    `consumer`, with the outcome refused, where the transaction is a dead letter; or `analyst:NAME`, with the outcome
    confirmed, dismissed, duplicate (the reason begins with the id of the other alert) or reopened. `tx_count` is the version
    of the alert. The record's key is the account.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    alert_id: str
    tx_count: int
    rule: str
    account_id: str
    transaction_id: str | None
    outcome: str
    score: int | None
    reason: str | None
    verdicts: list[dict[str, Any]]
    decided_by: str
    decided_at: int

    def to_json(self) -> bytes:
        """The value of the record in `decisions`."""
        return orjson.dumps(dict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Decision:
        """The inverse of `to_json`; raises BadRecord."""
        try:
            return cls.model_validate(_decode(data, "decision"))
        except ValidationError as error:
            raise _bad(error) from None


class DeadLetter(BaseModel):
    """A record that could not be used: where it came from, why, and its bytes as they were.

    On the wire it is JSON, like every topic's value; `key` and `value` are base64 there, for they may be anything.
    `failed_at` is epoch milliseconds, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None = None
    value: bytes | None = None
    failed_at: int

    def to_json(self) -> bytes:
        """The value of the record in `dead_letters`: a third larger than what it carries."""
        fields = dict(self)
        for name in ("key", "value"):
            raw = fields[name]
            fields[name] = None if raw is None else base64.b64encode(raw).decode("ascii")
        return orjson.dumps(fields)

    @classmethod
    def from_json(cls, data: bytes) -> DeadLetter:
        """The inverse of `to_json`; raises BadRecord."""
        fields = _decode(data, "dead letter")
        try:
            for name in ("key", "value"):
                if fields.get(name) is not None:
                    fields[name] = base64.b64decode(fields[name], validate=True)
            return cls.model_validate(fields)
        except ValidationError as error:
            raise BadRecord(of_fields(error)) from None
        except (ValueError, TypeError) as error:
            raise BadRecord(f"not base64: {error}") from None


def _bad(error: ValidationError) -> BadRecord:
    return BadRecord(of_fields(error), of_fields(error, values=False))


def _decode(value: bytes | None, what: str) -> dict[str, Any]:
    """The JSON object in `value`; raises BadRecord for null, for what is no JSON, and for JSON that is no object."""
    if value is None:
        raise BadRecord("the value is null")
    try:
        fields = loads(value)
    except ValueError as error:
        raise BadRecord(of_bytes(value, what, str(error))) from None
    if isinstance(fields, dict):
        return fields
    if found := of_value(fields, what):
        raise BadRecord(found)
    raise BadRecord(f"not a JSON object but {shown(fields)}", "not a JSON object")


def _read(model: type[Model], value: bytes | None, key: bytes | None, readers: _Readers) -> Model:
    """A record as a model; raises BadRecord."""
    what = _NOUNS[model.__name__]
    fields = _decode(value, what)
    try:
        return _fit(model, value, fields, key, readers)
    except BadRecord:
        # The account may be from the key.
        if fields.keys() & readers.keys() <= {"account_id"} and (found := of_value(fields, what)):
            raise BadRecord(found) from None
        raise


_NOUNS = {"Transaction": "transaction", "FraudAlert": "alert"}
"""What a record is called in the reasons that a person reads."""


def _fit(
    model: type[Model], value: bytes | None, fields: dict[str, Any], key: bytes | None, readers: _Readers
) -> Model:
    """The fields of a record as a model; raises BadRecord."""
    unify_names(fields, readers)
    _check_key(fields, key)
    try:
        return model.model_validate(fields)
    except ValidationError:
        pass
    if value is not None:
        written = exact_loads(value)
        unify_names(written, readers)
        fields |= {name: item for name, item in written.items() if name in readers}
    for name in fields.keys() & readers.keys():
        fields[name] = readers[name](fields[name])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _bad(error) from None


def unify_names(fields: dict[str, Any], names: Mapping[str, Any]) -> None:
    """Give the fields of a model their names, whatever their letter case; raises BadRecord for one that is there twice."""
    if fields.keys() <= names.keys():
        return
    for written in sorted(fields.keys() - names.keys()):
        name = written.lower()
        if name not in names:
            continue
        if name in fields:
            both = f"{name}: two fields have this name but for the letter case"
            raise BadRecord(both)
        fields[name] = fields.pop(written)


def _check_key(fields: dict[str, Any], key: bytes | None) -> None:
    """Take the account from the key where the value has none; raises BadRecord if the key is not the account."""
    if key is None:
        raise BadRecord("the record has no key: it has to be the account id")
    try:
        account = key.decode("utf-8")
    except UnicodeDecodeError:
        reason = "the key is not UTF-8: it has to be the account id"
        raise BadRecord(f"{reason} (got {shown(key)})", reason) from None
    stated = fields.get("account_id")
    if stated is None:
        fields["account_id"] = account
    elif stated != account and text_of(stated) != text_of(account):
        reason = "the key has to be the account id"
        raise BadRecord(f"{reason}: it is {shown(account)}, account_id is {shown(stated)}", reason)
