"""Where the SQL rules that were replaced begin: stored before the old one ends, read by the consumer with each alert.

1. `begin` stores the first offsets of transactions that the new rule decides on. The old one still runs.
2. `close` stores the offsets of alerts at which the old one has ended, and before the new one is sent.
3. `finish` says that the new one was sent.

Each can be repeated, so that what was killed is continued with the same offsets; before `close` a replacement can be
cancelled. `consumer.replacements` has what the offsets mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as

NOW, BEGINNING = "now", "beginning"

Offsets = Mapping[int, int]
"""The next offset of each partition of a topic."""


@dataclass(frozen=True)
class Change:
    """Why a rule is replaced, by whom, and the statements that it consists of, before (None: it is new) and after."""

    reason: str
    who: str
    sql_before: str | None
    sql_after: str


@dataclass(frozen=True)
class Replacement:
    """One replacement of a rule; `is_open` until the new rule was sent."""

    rule: str
    start: str
    reason: str
    replaced_by: str
    replaced_at: datetime
    left_out: int
    superseded: int
    is_open: bool


@dataclass(frozen=True)
class Version:
    """What a replacement changed: the statements of the rule before (None: it was new) and after, and why."""

    replacement_no: int
    start: str
    sql_before: str | None
    sql_after: str
    reason: str
    replaced_by: str
    replaced_at: datetime
    is_open: bool
    left_out: int


_OPEN = """
SELECT rule, first_offsets, alert_offsets FROM rule_replacements WHERE finished_at IS NULL AND rule = ANY(:rules)
"""
_BEGIN = """
INSERT INTO rule_replacements (rule, start, sql_before, sql_after, reason, replaced_by, first_offsets)
VALUES (:rule, :start, :sql_before, :sql_after, :reason, :who, CAST(:offsets AS JSONB))
"""
_RESTART = """
UPDATE rule_replacements SET start = :start, sql_after = :sql_after, reason = :reason, replaced_by = :who
WHERE finished_at IS NULL AND rule = :rule
"""
_CLOSE = """
UPDATE rule_replacements SET alert_offsets = CAST(:offsets AS JSONB) WHERE alert_offsets IS NULL AND rule = ANY(:rules)
"""
_CANCEL = "DELETE FROM rule_replacements WHERE alert_offsets IS NULL AND rule = ANY(:rules) RETURNING rule"
_FINISH = """
UPDATE rule_replacements SET finished_at = clock_timestamp()
WHERE finished_at IS NULL AND alert_offsets IS NOT NULL AND rule = ANY(:rules)
"""
_ALL = f"""
SELECT {columns_of(Replacement).replace("is_open", "finished_at IS NULL AS is_open")} FROM rule_replacements
WHERE CAST(:rule AS TEXT) IS NULL OR rule = :rule ORDER BY replacement_no
"""
_VERSIONS = f"""
SELECT {columns_of(Version).replace("is_open", "finished_at IS NULL AS is_open")} FROM rule_replacements
WHERE rule = :rule ORDER BY replacement_no DESC LIMIT 100
"""
_WRITTEN_FROM = """
SELECT DISTINCT ON (rule) rule, alert_offsets FROM rule_replacements
WHERE applies AND alert_offsets IS NOT NULL ORDER BY rule, replacement_no DESC
"""


def begin(
    connection: Connection, changes: Mapping[str, Change], start: str, ends: Callable[[], Offsets]
) -> dict[str, dict[int, int]]:
    """Note the `changes` of rules by name; returns for each the first offsets of transactions that the new one decides on.

    `ends` asks for the ends of the topic's partitions, once the consumer cannot store an alert: all that it has stored is
    on transactions before them. A replacement that is open is continued, with the offsets that it has.
    """
    _lock(connection)
    rows: Any = connection.execute(text(_OPEN), {"rules": list(changes)})
    continued = {row.rule: {int(number): int(offset) for number, offset in row.first_offsets.items()} for row in rows}
    new = {} if continued.keys() >= changes.keys() else dict(ends())
    for rule, change in changes.items():
        row = {
            "rule": rule,
            "start": start,
            "sql_before": change.sql_before,
            "sql_after": change.sql_after,
            "reason": change.reason,
            "who": change.who,
            "offsets": _json(new),
        }
        connection.execute(text(_RESTART if rule in continued else _BEGIN), row)
    return {rule: continued.get(rule, new) for rule in changes}


def close(connection: Connection, rules: Collection[str], ends: Callable[[], Offsets]) -> None:
    """Note that the old rules have ended and the new ones have not begun: what is written from now on is of the new ones.

    `ends` asks for the ends of the partitions of alerts. Rules without an open replacement are left as they are, and those
    that have such offsets.
    """
    _lock(connection)
    if any(row.alert_offsets is None for row in connection.execute(text(_OPEN), {"rules": list(rules)})):
        connection.execute(text(_CLOSE), {"rules": list(rules), "offsets": _json(ends())})


def finish(connection: Connection, rules: Collection[str]) -> None:
    """Note that the new rules were sent; a later replacement of them is another one."""
    connection.execute(text(_FINISH), {"rules": list(rules)})


def cancel(connection: Connection, rules: Collection[str]) -> list[str]:
    """Forget replacements whose old rules have not ended: they go on as if nothing had been. Returns the rules that had one."""
    _lock(connection)
    return sorted(row.rule for row in connection.execute(text(_CANCEL), {"rules": list(rules)}))


def replacements_of(connection: Connection, rule: str | None = None) -> list[Replacement]:
    """The replacements in their order, of one rule or of all."""
    return select_as(connection, Replacement, text(_ALL), {"rule": rule})


def versions_of(connection: Connection, rule: str) -> list[Version]:
    """The newest 100 replacements of a rule with their statements, the newest first."""
    return select_as(connection, Version, text(_VERSIONS), {"rule": rule})


def written_from(connection: Connection) -> dict[str, dict[int, int]]:
    """For each rule that was replaced, the first offset of each partition of alerts that the one that runs wrote."""
    rows: Any = connection.execute(text(_WRITTEN_FROM))
    return {row.rule: {int(number): int(offset) for number, offset in row.alert_offsets.items()} for row in rows}


def _lock(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})


def _json(offsets: Offsets) -> str:
    return json.dumps({str(number): offset for number, offset in sorted(offsets.items())})
