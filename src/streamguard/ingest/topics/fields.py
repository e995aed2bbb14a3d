"""Names and types of JSON objects, as ksqlDB declares them.

An unquoted name of ksqlDB matches a field in any letter case, a quoted one with lower-case letters exactly as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

RESERVED = frozenset(
    """
    ADVANCE ALL AND AS AT BEGINNING BETWEEN BY CASE CAST CONNECTOR CONNECTORS CREATE DAYS DEFINE DELETE DESCRIBE DISTINCT
    DROP ELSE END EXISTS EXTENDED FALSE FROM FULL GRACE GROUP HAVING HOPPING HOURS IN INNER INSERT INTO IS JOIN LEFT LIKE
    LIMIT LIST MATERIALIZED MILLISECOND MILLISECONDS MINUTES MONTHS NOT NULL ON OR OUTER PAUSE PERIOD PRINT PROPERTIES
    QUERIES QUERY RESUME RETENTION RIGHT RUN SAMPLE SCRIPT SECONDS SELECT SIZE STREAM STREAMS TABLE TERMINATE THEN TO
    TOPIC TOPICS TRUE TUMBLING UNDEFINE UNSET VALUES VARIABLES VIEW WHEN WHERE WINDOW WITH WITHIN YEARS
    """.split()
)
"""Words that are no names unless quoted."""

PSEUDO_COLUMNS = frozenset("ROWTIME ROWPARTITION ROWOFFSET WINDOWSTART WINDOWEND".split())
"""Names that no column may have."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_INDENT = "  "


@dataclass
class Field:
    """A member of objects: the values that were seen, and its own members where those are objects."""

    path: tuple[str, ...]
    kinds: Counter[str] = field(default_factory=Counter)
    values: list[Any] = field(default_factory=list)
    """Text, numbers and truth values; null is none."""
    members: dict[str, Field] = field(default_factory=dict)
    elements: Field | None = None
    declared: str = ""
    """A type that is used instead of the one that the values have."""

    @property
    def name(self) -> str:
        """The dotted path, as a person writes it."""
        return ".".join(self.path)

    def add(self, value: Any) -> None:
        """Take one value into account."""
        self.kinds[_kind(value)] += 1
        if isinstance(value, dict):
            for name, member in value.items():
                if name not in self.members:
                    self.members[name] = Field((*self.path, name))
                self.members[name].add(member)
        elif isinstance(value, list):
            self.elements = self.elements or Field(self.path)
            for element in value:
                self.elements.add(element)
        elif value is not None:
            self.values.append(value)

    def at(self, path: tuple[str, ...]) -> Field | None:
        """The member at a path that counts from here."""
        here: Field | None = self
        for name in path:
            here = here.members.get(name) if here is not None else None
        return here

    def leaves(self) -> Iterator[Field]:
        """All members that are text, numbers or truth values, nested ones too, in order of appearance."""
        for member in self.members.values():
            if member.values:
                yield member
            yield from member.leaves()

    def sql_type(self, depth: int = 1) -> str | None:
        """The type that holds all values; None where there is nothing to be seen, such as in an empty object."""
        kinds = set(self.kinds) - {"null"}
        if self.declared:
            return self.declared
        if kinds == {"object"}:
            return self._struct(depth)
        if kinds == {"array"}:
            inner = self.elements.sql_type(depth) if self.elements is not None else None
            return f"ARRAY<{inner}>" if inner else None
        if kinds == {"boolean"}:
            return "BOOLEAN"
        if kinds == {"whole"}:
            return "BIGINT"
        if kinds <= {"whole", "number"} and kinds:
            return "DOUBLE"
        return "VARCHAR"

    def columns(self) -> list[tuple[Field, str]]:
        """The members that can be declared, with their types."""
        typed = [(member, member.sql_type(2)) for member in self.members.values()]
        return [
            (member, kind)
            for member, kind in typed
            if kind and member.path[-1].upper() not in (PSEUDO_COLUMNS if len(member.path) == 1 else ())
        ]

    def _struct(self, depth: int) -> str | None:
        inner = [f"{quoted(member.path[-1], self.members)} {kind}" for member, kind in self._typed(depth)]
        if not inner:
            return None
        apart = ",\n" + _INDENT * depth
        return "STRUCT<\n" + _INDENT * depth + apart.join(inner) + ">"

    def _typed(self, depth: int) -> list[tuple[Field, str]]:
        typed = [(member, member.sql_type(depth + 1)) for member in self.members.values()]
        return [(member, kind) for member, kind in typed if kind]


def quoted(name: str, beside: dict[str, Field]) -> str:
    """A name in SQL, in backticks where it needs them: for its characters, as a reserved word, or to tell it from another."""
    same = sum(other.upper() == name.upper() for other in beside)
    if _PLAIN.fullmatch(name) and name.upper() not in RESERVED and same == 1:
        return name
    return "`" + name.replace("`", "``") + "`"


def reference(root: Field, path: tuple[str, ...]) -> str:
    """A member in SQL: `payload->after->amount`."""
    parts, here = [], root
    for name in path:
        parts.append(quoted(name, here.members))
        here = here.members[name]
    return "->".join(parts)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "whole" if abs(value) < 2**63 else "text"
    kinds = {dict: "object", list: "array", float: "number", Decimal: "number", str: "text"}
    return kinds.get(type(value), "null")
