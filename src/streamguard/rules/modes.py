"""The modes of rules: active, shadow (recorded, without effect) or off; every change is kept with who, when and why.

A SQL rule goes by the name that its alerts carry, for both of two queries that share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from sqlalchemy import Connection, text

from streamguard.config.errors import UserError
from streamguard.database.fraud import MARK_FRAUD_OF_RULE
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as
from streamguard.rules.catalogue import CATALOGUE_FILE, Rule, catalogue
from streamguard.rules.decide import ACTIVE


class NoSuchRule(UserError):
    """The catalogue has no rule of this name."""


@dataclass(frozen=True)
class ModeChange:
    """One change of the mode of a rule."""

    rule: str
    mode_before: str
    mode_after: str
    reason: str
    changed_by: str
    changed_at: datetime


_MODES = "SELECT rule, mode FROM rule_modes"
_MODE = "SELECT mode FROM rule_modes WHERE rule = :rule"
_SET = """
INSERT INTO rule_modes (rule, mode, changed_by) VALUES (:rule, :after, :who)
ON CONFLICT (rule) DO UPDATE SET mode = excluded.mode, changed_by = excluded.changed_by, changed_at = clock_timestamp()
"""
_NOTE = """
INSERT INTO rule_mode_history (rule, mode_before, mode_after, reason, changed_by)
VALUES (:rule, :before, :after, :why, :who)
"""
_HISTORY = f"""
SELECT {columns_of(ModeChange)} FROM rule_mode_history
WHERE CAST(:rule AS TEXT) IS NULL OR rule = :rule ORDER BY change_no
"""
_HAS_ALERTS = "SELECT EXISTS (SELECT FROM fraud_alerts WHERE rule = :rule)"


def modes_of(connection: Connection) -> dict[str, str]:
    """The modes by the names of rules, of those whose mode was ever set; the others are active."""
    return {row.rule: row.mode for row in connection.execute(text(_MODES))}


def set_mode(connection: Connection, rule: str, mode: str, *, who: str, why: str) -> str:
    """Set the mode of a rule of the catalogue; returns the one before. The same mode again changes nothing.

    `is_fraud` of the transactions of its alerts follows in the same database transaction; the consumer sees the mode with
    its next batch. Raises NoSuchRule, and an error of the database for a `mode` that is none.
    """
    rules_named(connection, rule)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
    before = connection.execute(text(_MODE), {"rule": rule}).scalar() or ACTIVE
    if before == mode:
        return mode
    change = {"rule": rule, "before": before, "after": mode, "who": who, "why": why}
    connection.execute(text(_SET), change)
    connection.execute(text(_NOTE), change)
    connection.connection.cursor().execute(MARK_FRAUD_OF_RULE, {"rule": rule})
    return str(before)


def changes_of(connection: Connection, rule: str | None = None) -> list[ModeChange]:
    """The changes of modes in their order, of one rule or of all."""
    return select_as(connection, ModeChange, text(_HISTORY), {"rule": rule})


def rules_named(connection: Connection, name: str) -> list[Rule]:
    """The rules of the catalogue with this name. Raises NoSuchRule, with the nearest name."""
    rules = catalogue()
    if found := [rule for rule in rules if rule.name == name]:
        return found
    if connection.execute(text(_HAS_ALERTS), {"rule": name}).scalar():
        raise NoSuchRule(
            f"the rule {name} has alerts and no line in the catalogue: add its query to ksqldb/{CATALOGUE_FILE} first"
        )
    raise NoSuchRule(
        f"there is no rule {name}{nearest(name, [rule.name for rule in rules])}; see `streamguard rules list`"
    )


def nearest(given: str, names: list[str]) -> str:
    """The nearest name as the end of a sentence; names are compared without regard to case."""
    by_lower = {name.lower(): name for name in names}
    near = get_close_matches(given.lower(), by_lower, n=1)
    return f"; {by_lower[near[0]]} is the nearest name" if near else ""
