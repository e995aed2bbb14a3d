"""Which database transactions exclude each other when several members of the group store side by side.

An alert and its transaction must not be stored at the same time by two members that do not see each other's rows: the link
between them would be missing for ever. What belongs together has one account, so accounts are locked, in buckets:

1. Every batch holds `Lock.STORE`: shared beside other members, exclusively where it may touch anything (`everything`).
2. A batch beside others locks the buckets of its accounts, in their order. Keys are accounts, and a bucket is that hash of the
   key by which partitions are chosen: members with other partitions have other buckets, and wait for each other never.
3. By its id a transaction can belong to an alert of another account, where a sender uses an id twice or an alert names a
   wrong one. Whoever finds such a row raises Foreign before anything is decided on it, and does its work again alone.
4. What it cannot find, for another member is storing it just now, is found by a second look after that member's commit
   (`consumer.second_look`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from streamguard.database.locks import Lock
from streamguard.kafka.partitions import positive_murmur2

BUCKETS = 240
"""The bucket of a key says its partition wherever the number of partitions divides this. A lock takes room in memory that
Postgres shares out once: 64 for each connection."""

_LOCK_BUCKETS = "SELECT pg_advisory_xact_lock(%s, bucket) FROM unnest(%s) AS bucket"


class Foreign(Exception):
    """A row of an account that is not locked is concerned: the work is to be done again with everything locked."""


class Exclusion:
    """What a database transaction may touch until it ends: the accounts of `buckets`, or everything with None."""

    def __init__(self, buckets: frozenset[int] | None) -> None:
        self._buckets = buckets

    @property
    def is_total(self) -> bool:
        """Whether nobody else stores meanwhile."""
        return self._buckets is None

    def check(self, accounts: Iterable[str]) -> None:
        """Raises Foreign where one of the accounts is not locked."""
        if self._buckets is not None and not self._buckets.issuperset(map(bucket_of, set(accounts))):
            raise Foreign


def everything(cursor: Any) -> Exclusion:
    """Waits until nobody else stores, and keeps everybody from it to the end of the database transaction."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (int(Lock.STORE),))
    return Exclusion(None)


def only(cursor: Any, accounts: Iterable[str]) -> Exclusion:
    """Waits until nobody else stores rows of these accounts, and keeps others from it to the end of the transaction."""
    buckets = frozenset(map(bucket_of, set(accounts)))
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (int(Lock.STORE),))
    cursor.execute(_LOCK_BUCKETS, (int(Lock.STORE), sorted(buckets)))
    return Exclusion(buckets)


@lru_cache(maxsize=100_000)
def bucket_of(account: str) -> int:
    """The bucket of an account: Kafka's hash of keys, without its sign.

    Source: Apache Kafka, documentation of the producer setting `partitioner.class`, "hash of the key": murmur2.
    """
    return positive_murmur2(account.encode()) % BUCKETS
