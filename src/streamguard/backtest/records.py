"""The records that a back-test is given, from the topics or from files, in the order in which they came.

A transaction keeps its place among those of its partition. What rules join with (lists, limits of currencies, labels) comes
before the first transaction that was written after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Annotated

import msgspec

from streamguard.models import BadRecord, Transaction
from streamguard.models.iso import COUNTRIES, CURRENCIES
from streamguard_ksql.operators.record import InputRecord

BATCH = 1_000
"""Records that go through the queries together: as many as a processor's cache has room for."""


class Facts(msgspec.Struct):
    """What is looked at of every transaction; the whole record is read only where an alert needs it."""

    transaction_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    account_id: str
    amount: Annotated[float, msgspec.Meta(gt=0, lt=10**12)]
    currency: str
    event_time: Annotated[int, msgspec.Meta(ge=100_000_000_000)]
    country: str | None = None
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None


_decode = msgspec.json.Decoder(Facts).decode


def facts_of(record: InputRecord) -> Facts | None:
    """The facts of a record of `transactions`; None for one that the consumer does not store."""
    try:
        facts = _decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _slowly(record)
    usual = facts.currency in CURRENCIES and (facts.country is None or facts.country in COUNTRIES)
    return facts if usual and facts.account_id.encode() == record.key else _slowly(record)


def _slowly(record: InputRecord) -> Facts | None:
    """As the consumer reads it: names in another letter case, amounts as text."""
    try:
        found = Transaction.from_record(record.value, record.key)
    except BadRecord:
        return None
    return Facts(found.transaction_id, found.account_id, float(found.amount), found.currency, found.event_time)


def batches(
    transactions: Iterable[InputRecord],
    others: Sequence[InputRecord],
    tables: Collection[str],
    size: int = BATCH,
) -> Iterator[list[InputRecord]]:
    """Transactions in their order, with the records of other topics (in order of time) among them by their times.

    Rows of tables are batches of their own, so that they are there for the transactions that were written after them,
    whatever event times these have.
    """
    batch: list[InputRecord] = []
    in_table = False
    number, count = 0, len(others)
    for record in transactions:
        while number < count and others[number].time <= record.time:
            other = others[number]
            number += 1
            if batch and (other.topic in tables) != in_table:
                yield batch
                batch = []
            in_table = other.topic in tables
            batch.append(other)
        if batch and (in_table or len(batch) >= size):
            yield batch
            batch = []
        in_table = False
        batch.append(record)
    for other in others[number:]:
        if batch and (other.topic in tables) != in_table:
            yield batch
            batch = []
        in_table = other.topic in tables
        batch.append(other)
    if batch:
        yield batch
