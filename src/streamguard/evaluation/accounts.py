"""What the consumer reads from Postgres around an alert, kept in memory: the accounts' latest transactions.

`History.add` is told of the transactions in the order of their partitions; `before` gives what the consumer's query
`HISTORY` gives: the account's transactions before one in its partition, newest first by event time, at most HISTORY_LENGTH.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone

import msgspec

from streamguard.models import BadRecord, Transaction
from streamguard.rules.base import HISTORY_LENGTH, StoredTransaction

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def from_ms(milliseconds: int) -> datetime:
    """An instant from epoch milliseconds, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Kept(msgspec.Struct, eq=False, gc=False):
    """A transaction, decoded when it is looked at: most belong to accounts without an alert.

    A struct, since one is made of every transaction: made in C.
    """

    at_ms: int
    """The event time."""
    offset: int
    key: bytes | None
    value: bytes | None
    partition: int = 0
    read: Callable[[bytes | None, bytes | None], Transaction] = Transaction.from_record
    known: StoredTransaction | None = None
    """As rules see it, once it has been looked at."""

    def seen(self) -> StoredTransaction:
        """As rules see it. Raises BadRecord where the consumer does not store it."""
        if self.known is None:
            self.known = stored(self.read(self.value, self.key))
        return self.known


def stored(t: Transaction) -> StoredTransaction:
    """The transaction as it is read back from the database."""
    return StoredTransaction(
        transaction_id=t.transaction_id,
        amount=t.amount,
        currency=t.currency,
        merchant_id=t.merchant_id,
        merchant_category=t.merchant_category,
        country=t.country,
        longitude=t.longitude,
        device_id=t.device_id,
        ip_address=t.ip_address,
        event_time=from_ms(t.event_time),
    )


def readable(found: Iterable[Kept]) -> Iterator[Kept]:
    """Those that the consumer stores."""
    for kept in found:
        try:
            kept.seen()
        except BadRecord:
            continue
        yield kept


class History:
    """The latest transactions of every account; an account is in one partition."""

    def __init__(self) -> None:
        self._accounts: defaultdict[bytes | None, list[Kept]] = defaultdict(list)

    def before(self, key: bytes | None) -> tuple[StoredTransaction, ...]:
        """The transactions of an account that were added, newest first."""
        return tuple(kept.seen() for kept in readable(reversed(self._accounts.get(key, ()))))

    def find(self, key: bytes | None, transaction_id: str) -> Kept | None:
        """One of them by its id."""
        known = readable(self._accounts.get(key, ()))
        return next((kept for kept in known if kept.seen().transaction_id == transaction_id), None)

    def within(self, key: bytes | None, start_ms: int, end_ms: int) -> list[Kept]:
        """Those of them with an event time from `start_ms` to before `end_ms`, the oldest first."""
        return [kept for kept in self._accounts.get(key, ()) if start_ms <= kept.at_ms < end_ms]

    def add(self, kept: Kept) -> None:
        """Take up a transaction; what is older than the HISTORY_LENGTH newest is never asked for again."""
        known = self._accounts[kept.key]
        if not known or kept.at_ms > known[-1].at_ms or _order(kept) > _order(known[-1]):
            known.append(kept)
        else:
            insort(known, kept, key=_order)
        if len(known) > HISTORY_LENGTH:
            del known[0]


def _order(kept: Kept) -> tuple[int, int]:
    return kept.at_ms, kept.offset
