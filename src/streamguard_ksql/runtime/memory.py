"""How much memory a query's state takes: an estimate from a few entries of each store, cheap enough for every second.

Sources: docs of sys.getsizeof; a dict's own size does not include its entries.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any

from streamguard_ksql.operators.state import Store, Stores

SAMPLED = 4
"""Entries from each end of a collection that stand for all of it."""
INDEX_BYTES = 200
"""What an entry costs beside itself: in the indexes of joins, and among the keys changed since the last commit."""


def stores_bytes(stores: Stores) -> int:
    """The estimate of a query's stores, in bytes. They may change meanwhile: RuntimeError where that gets in the way."""
    return sum(_store_bytes(store) for store in list(stores.by_name.values()))


def _store_bytes(store: Store) -> int:
    return sum(value_bytes(table) for table in list(store.tables.values())) + INDEX_BYTES * len(store)


def value_bytes(value: Any) -> int:
    """The estimate of a value with what it contains; of large collections a part stands for the whole."""
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return size + _sampled(value, value.items(), reversed(value.items()))  # type: ignore[call-overload]
    if isinstance(value, (list, tuple)):
        return size + _sampled(value, value, reversed(value))
    if isinstance(value, (set, frozenset)):
        return size + _sampled(value, value, ())
    return size


def _sampled(whole: Collection[Any], forwards: Iterable[Any], backwards: Iterable[Any]) -> int:
    if len(whole) <= 2 * SAMPLED:
        return sum(map(value_bytes, forwards))
    sample = [*islice(forwards, SAMPLED), *islice(backwards, SAMPLED)]
    return sum(map(value_bytes, sample)) * len(whole) // len(sample)


def give_back() -> None:
    """Collect what ended queries have left, and return free memory to the system where the C library can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
