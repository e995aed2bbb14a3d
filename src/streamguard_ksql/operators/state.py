"""The state of operators: per partition a dict, with what has changed since the last commit.

A store survives the process through its changelog: at every commit the last value of each changed key is written, not
every update (`changes`); at start what was written is put back (`restore`). Keys and values go through MessagePack.
"""

from __future__ import annotations

import decimal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import ormsgpack

from streamguard_ksql.errors import KsqlError

_DECIMAL, _TUPLE = 1, 2
_OPTIONS = ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_PASSTHROUGH_TUPLE


def _pack_other(value: Any) -> Any:
    if isinstance(value, tuple):
        return ormsgpack.Ext(_TUPLE, encode(list(value)))
    if isinstance(value, decimal.Decimal):
        return ormsgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be part of a state")


def _unpack_other(tag: int, data: bytes) -> Any:
    return tuple(decode(data)) if tag == _TUPLE else decimal.Decimal(data.decode())


def encode(value: Any) -> bytes:
    """Any state as bytes: None, bool, int, float, str, bytes, Decimal, and tuples, lists and dicts of these."""
    try:
        return ormsgpack.packb(value, default=_pack_other, option=_OPTIONS)
    except TypeError:
        return ormsgpack.packb(_storable(value), default=_pack_other, option=_OPTIONS)


def encode_key(key: Any) -> bytes:
    """The key of an entry as bytes. Keys can be hashed, so every array in them is a tuple: no need to mark them."""
    try:
        return ormsgpack.packb(key, default=_pack_other, option=ormsgpack.OPT_NON_STR_KEYS)
    except TypeError:
        return ormsgpack.packb(_storable(key), default=_pack_other, option=ormsgpack.OPT_NON_STR_KEYS)


def _storable(value: Any) -> Any:
    """A state whose strings have a question mark for each half of a character, as Java writes them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_storable, value))
    if isinstance(value, dict):
        return {_storable(k): _storable(v) for k, v in value.items()}
    return value


def decode_key(data: bytes) -> Any:
    return _tuples(decode(data))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def decode(data: bytes) -> Any:
    return ormsgpack.unpackb(data, ext_hook=_unpack_other, option=ormsgpack.OPT_NON_STR_KEYS)


CHUNK = 1_000
"""Entries of a window that go into one record of a changelog."""
REPLACED = None
"""The first item of a chunk that has its whole window: what was read of it before does not count. Versions without
transactions wrote such chunks, after a crash."""


class Store:
    """A keyed state. `tables[partition]` is the live dict; a change of an entry needs a call of `touch`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables: dict[int, dict[Any, Any]] = {}
        self._dirty: dict[int, set[Any]] = {}

    def table(self, partition: int) -> dict[Any, Any]:
        found = self.tables.get(partition)
        if found is None:
            found = self.tables[partition] = {}
            self._dirty[partition] = set()
        return found

    def dirty(self, partition: int) -> set[Any]:
        """The keys changed since the last commit: to be added to on every change."""
        self.table(partition)
        return self._dirty[partition]

    def put(self, partition: int, key: Any, value: Any) -> None:
        """Set an entry; None removes it."""
        table = self.table(partition)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
        self._dirty[partition].add(key)

    def get(self, partition: int, key: Any) -> Any:
        table = self.tables.get(partition)
        return None if table is None else table.get(key)

    def changes(self) -> Iterator[tuple[int, Any, Any]]:
        """(partition, key, value or None) of every entry changed since the last call."""
        for partition, keys in self._dirty.items():
            for key in keys:
                yield partition, key, self.get(partition, key)
            keys.clear()

    def forget_changes(self) -> None:
        """As if all had been committed, for a store that has no changelog."""
        for keys in self._dirty.values():
            keys.clear()

    def restore(self, partition: int, key: Any, value: Any) -> None:
        """Put back an entry from the changelog, without marking it changed."""
        table = self.table(partition)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value

    def __len__(self) -> int:
        return sum(len(t) for t in self.tables.values())


class WindowStore(Store):
    """The entries of windows: `tables[partition][window start][key]`, so that a window is dropped at once.

    A commit writes what changed in a window as one chunk: key (window start, number), value a list of [key, entry]. When
    the window is dropped its chunks are; there are as many as it saw commits, not as it had keys.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._changed: dict[int, dict[int, set[Any]]] = {}
        self._chunks: dict[int, dict[int, set[int]]] = {}
        self._dropped: dict[int, list[tuple[int, int]]] = {}
        self._next = 0

    def changed(self, partition: int) -> dict[int, set[Any]]:
        """Per window start the keys changed since the last commit: to be added to on every change."""
        return self._changed.setdefault(partition, defaultdict(set))

    def changes(self) -> Iterator[tuple[int, Any, Any]]:
        for partition, dropped in self._dropped.items():
            for chunk in dropped:
                yield partition, chunk, None
            dropped.clear()
        for partition, windows in self._changed.items():
            for start, names in windows.items():
                entries = self.table(partition).get(start)
                if entries is not None:
                    for key, value in self._chunked(partition, start, names, entries):
                        yield partition, key, value
            windows.clear()

    def forget_changes(self) -> None:
        self._dropped.clear()
        for windows in self._changed.values():
            windows.clear()

    def _chunked(
        self, partition: int, start: int, names: Iterable[Any], entries: dict[Any, Any]
    ) -> Iterator[tuple[Any, Any]]:
        """Entries of a window as new chunks, none of more than CHUNK entries."""
        listed = [[list(n) if type(n) is tuple else n, entries[n]] for n in names]
        for first in range(0, len(listed), CHUNK):
            number, self._next = self._next, self._next + 1
            self._chunks.setdefault(partition, {}).setdefault(start, set()).add(number)
            yield (start, number), listed[first : first + CHUNK]

    def restore(self, partition: int, key: Any, value: Any) -> None:
        start, number = key
        self._next = max(self._next, number + 1)
        chunks = self._chunks.setdefault(partition, {}).setdefault(start, set())
        if value is not None:
            chunks.add(number)
            window = self.table(partition).setdefault(start, {})
            if value and value[0] is REPLACED:
                window.clear()
                del value[0]
            for name, entry in value:
                window[tuple(name) if type(name) is list else name] = entry
            return
        chunks.discard(number)
        if not chunks:
            del self._chunks[partition][start]
            self.table(partition).pop(start, None)

    def drop_before(self, partition: int, start: int) -> None:
        """Forget the windows that start before `start`."""
        table = self.table(partition)
        for old in [s for s in table if s < start]:
            del table[old]
            numbers = self._chunks.get(partition, {}).pop(old, ())
            self._dropped.setdefault(partition, []).extend((old, n) for n in numbers)

    def __len__(self) -> int:
        return sum(len(w) for t in self.tables.values() for w in t.values())


class Stores:
    """All stores of a query, by name; a name is given once."""

    def __init__(self) -> None:
        self.by_name: dict[str, Store] = {}

    def add(self, store: Store) -> Store:
        if store.name in self.by_name:
            raise KsqlError(f"state store {store.name} is defined twice")
        self.by_name[store.name] = store
        return store

    def numbered(self, store: Store) -> Store:
        """Add a store whose name may be taken (a second join of the same plan): it then gets a number."""
        name, n = store.name, 1
        while store.name in self.by_name:
            n += 1
            store.name = f"{name}.{n}"
        return self.add(store)

    def changes(self) -> Iterator[tuple[str, int, Any, Any]]:
        for name, store in self.by_name.items():
            for partition, key, value in store.changes():
                yield name, partition, key, value

    def restore(self, name: str, partition: int, key: Any, value: Any) -> None:
        """Put an entry back; entries of stores that the query no longer has are left out."""
        store = self.by_name.get(name)
        if store is not None:
            store.restore(partition, key, value)

    def forget_changes(self) -> None:
        """As if all had been committed: for a query that is not restored."""
        for store in self.by_name.values():
            store.forget_changes()

    def adopt(self, others: Stores) -> None:
        """Take over the entries of the stores of another query that have the same names."""
        for name, store in self.by_name.items():
            for partition, table in others.by_name[name].tables.items() if name in others.by_name else ():
                store.table(partition).update(table)
