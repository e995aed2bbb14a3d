"""Statements that each connection parses once and plans once: of a small batch, planning is most of what Postgres has to do.

The plan is a generic one, made without the values (`plan_cache_mode`), and without sequential scans where there is an index:
it may be made while a table is nearly empty, and is kept while that grows.

Source: PostgreSQL documentation, PREPARE, "Notes".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from typing import Any
from weakref import WeakKeyDictionary

SETTINGS = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"
"""Of a connection that runs prepared statements."""

_PARAMETER = re.compile(r"%\((\w+)\)s")
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""The names of the statements that a connection has prepared."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """`prepare` makes it, `execute` runs it with the values of `parameters` in this order."""

    name: str
    prepare: str
    execute: str
    parameters: tuple[str, ...]


@lru_cache(maxsize=1_000)
def _prepared(statement: str) -> _Prepared:
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    numbered = _PARAMETER.sub(lambda found: f"${parameters.index(found[1]) + 1}", statement).replace("%%", "%")
    name = f"s{blake2s(statement.encode(), digest_size=8).hexdigest()}"
    values = f"({', '.join('%s' for _ in parameters)})" if parameters else ""
    return _Prepared(name, f"PREPARE {name} AS {numbered}", f"EXECUTE {name}{values}", parameters)


def execute(cursor: Any, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run a statement of psycopg2's form (`%(name)s`), prepared at its first use by the cursor's connection.

    Errors of psycopg2 pass through. What a parameter is has to be known without its value: `unnest(%(ids)s::TEXT[])`.
    """
    prepared = _prepared(statement)
    names = _known.setdefault(cursor.connection, set())
    if prepared.name not in names:
        # Kept beyond the end of this database transaction, also where that is rolled back.
        cursor.execute(prepared.prepare)
        names.add(prepared.name)
    given = parameters or {}
    cursor.execute(prepared.execute, [given[name] for name in prepared.parameters])
