"""How much memory a query's state takes: an estimate from a few entries of each store, cheap enough for every second; and
how often the garbage collector looks at it.

Sources: docs of sys.getsizeof, where a dict's own size does not include its entries; docs of gc.freeze.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from streamguard_ksql.operators.state import Store, Stores

SAMPLED = 4
"""Entries from each end of a collection that stand for all of it."""
INDEX_BYTES = 200
"""What an entry costs beside itself: in the indexes of joins, and among the keys changed since the last commit."""

YOUNG = 100_000
"""Containers more than before at which the collector looks at the new ones: some 10 ms."""
YOUNG_COLLECTIONS = 5
"""After so many it looks at those that were left by them: some 50 ms."""
_lock = threading.Lock()
_restoring = 0
"""Threads that put state back."""
_is_frozen = False
"""Whether this process looks at state once."""


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


def look_at_state_once() -> None:
    """Let the garbage collector look at what is new alone.

    The state of queries is millions of small containers that are in no circle. What has outlived two collections is most
    likely state: it is not looked at again until `give_back`, or each look would stop all queries for seconds. A circle that
    forms of what is that old stays; one that a request makes is found while it is new.
    """
    global _is_frozen
    _is_frozen = True
    gc.set_threshold(YOUNG, YOUNG_COLLECTIONS)
    gc.callbacks.append(_freeze_the_old)


def _freeze_the_old(phase: str, info: Mapping[str, int]) -> None:
    if phase == "stop" and info["generation"] > 0:
        gc.freeze()


@contextmanager
def restoring() -> Iterator[None]:
    """While state is put back, by any number of threads, the collector looks at nothing: it would take a third of the time."""
    global _restoring
    with _lock:
        _restoring += 1
        if _is_frozen:
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            _restoring -= 1
            if _is_frozen and not _restoring:
                gc.freeze()
                gc.enable()


def give_back() -> None:
    """Collect what ended queries have left, and return free memory to the system where the C library can (glibc)."""
    gc.unfreeze()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
