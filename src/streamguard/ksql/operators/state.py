"""The state of operators: per partition a dict, with what has changed since the last commit.

A store survives the process through its changelog: at every commit the last value of each changed key is written, not
every update (`changes`); at start what was written is put back (`restore`). Keys and values go through MessagePack.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from typing import Any

import ormsgpack

from streamguard.ksql.errors import KsqlError

_DECIMAL, _TUPLE = 1, 2
_OPTIONS = ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_PASSTHROUGH_TUPLE


def _pack_other(value: Any) -> Any:
    if isinstance(value, tuple):
        return ormsgpack.Ext(_TUPLE, encode(list(value)))
    if isinstance(value, decimal.Decimal):
        return ormsgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a state cannot hold {type(value).__name__}")


def _unpack_other(tag: int, data: bytes) -> Any:
    if tag == _TUPLE:
        return tuple(decode(data))
    return decimal.Decimal(bytes(data).decode())


def encode(value: Any) -> bytes:
    """Any state as bytes: None, bool, int, float, str, bytes, Decimal, and tuples, lists and dicts of these."""
    return ormsgpack.packb(value, default=_pack_other, option=_OPTIONS)


def encode_key(key: Any) -> bytes:
    """The key of an entry as bytes. Keys can be hashed, so every array in them is a tuple: no need to mark them."""
    return ormsgpack.packb(key, default=_pack_other, option=ormsgpack.OPT_NON_STR_KEYS)


def decode_key(data: bytes) -> Any:
    return _tuples(decode(data))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def decode(data: bytes) -> Any:
    return ormsgpack.unpackb(data, ext_hook=_unpack_other, option=ormsgpack.OPT_NON_STR_KEYS)


class Store:
    """A keyed state. `tables[partition]` is the live dict; whoever changes an entry calls `touch`."""

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
    """A store keyed by (window start, key), held as a dict of dicts so that a window is dropped at once."""

    def put(self, partition: int, key: Any, value: Any) -> None:
        self.restore(partition, key, value)
        self._dirty[partition].add(key)

    def get(self, partition: int, key: Any) -> Any:
        windows = self.tables.get(partition, {}).get(key[0])
        return None if windows is None else windows.get(key[1])

    def restore(self, partition: int, key: Any, value: Any) -> None:
        table = self.table(partition)
        start, inner = key
        if value is not None:
            table.setdefault(start, {})[inner] = value
        elif start in table:
            table[start].pop(inner, None)
            if not table[start]:
                del table[start]

    def drop_before(self, partition: int, start: int) -> None:
        """Forget the windows that start before `start`."""
        table = self.table(partition)
        dirty = self._dirty[partition]
        for old in [s for s in table if s < start]:
            dirty.update((old, inner) for inner in table[old])
            del table[old]

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
