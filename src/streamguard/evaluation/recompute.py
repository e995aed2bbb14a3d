"""The decisions of the rules once more, from what is stored: the same transaction, history, lists, limits and modes as then.

History is taken by offset, as the consumer takes it; lists as of the last change that it saw (`decisions.list_change_no`); what
analysts had made of the account's alerts as of the decision; limits, points and modes from the decision's rule set. A rule
whose version has changed since is not asked: its stored verdict is used, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from streamguard.consumer import statements as sql
from streamguard.consumer.judge import alert_of
from streamguard.database.rows import columns_of, fetch_values, select_as
from streamguard.rules import REGISTRY, Alert, Context, Decision, RuleLimits, StoredTransaction, decide
from streamguard.rules.base import Registered, Verdict
from streamguard.rules.catalogue import base_points
from streamguard.rules.listed import ListEntry, Lists, list_keys


@dataclass(frozen=True)
class Stored:
    """A decision of the rules with what it rested on; partition and offset are those of its transaction, None without one."""

    alert_id: str
    tx_count: int
    rule: str
    account_id: str
    evidence: dict[str, Any]
    transaction_id: str | None
    source_partition: int | None
    source_offset: int | None
    outcome: str
    score: int
    reason: str
    verdicts: list[dict[str, Any]]
    decided_at: datetime
    list_change_no: int | None
    rule_set: dict[str, Any] | None


@dataclass(frozen=True)
class Recomputed:
    """A decision compared with what it is once more; the same where there are no `differences`."""

    alert_id: str
    tx_count: int
    decision: Decision
    differences: list[str]
    notes: list[str]
    """What was not kept, or is no more as it was: a difference may come from that."""


@dataclass(frozen=True, slots=True)
class _Past(StoredTransaction):
    candidate: int


_STORED = f"""
SELECT {columns_of(Stored)} FROM (
    SELECT d.*, a.rule, a.account_id, v.evidence, t.source_partition, t.source_offset, s.content AS rule_set
    FROM decisions d
    JOIN fraud_alerts a USING (alert_id)
    JOIN alert_versions v ON (v.alert_id, v.tx_count) = (d.alert_id, d.tx_count)
    LEFT JOIN transactions t ON t.transaction_id = d.transaction_id
    LEFT JOIN rule_sets s ON s.rule_set_no = d.rule_set_no
    WHERE d.decided_by = 'rules' AND d.alert_id = :alert
) d ORDER BY tx_count
"""
_LISTS = f"""
SELECT {columns_of(ListEntry)} FROM (
    SELECT DISTINCT ON (list, kind, value) * FROM list_history
    WHERE value = ANY(:values) AND change_no <= coalesce(:change_no, change_no)
        AND (CAST(:change_no AS BIGINT) IS NOT NULL OR changed_at <= :decided_at)
    ORDER BY list, kind, value, change_no DESC
) newest WHERE change <> 'remove'
"""
_RESOLVED = """
SELECT count(*) FILTER (WHERE outcome = 'confirmed') AS confirmed, count(*) FILTER (WHERE outcome = 'dismissed') AS dismissed
FROM (
    SELECT DISTINCT ON (alert_id) d.outcome FROM decisions d JOIN fraud_alerts a USING (alert_id)
    WHERE a.account_id = :account AND d.decided_by LIKE 'analyst:%' AND d.decided_at < :decided_at
    ORDER BY alert_id, d.action_no DESC
) newest
"""
_CUT = """
SELECT coalesce(sum(row_count), 0) FROM retention_cuts WHERE what = 'transactions' AND started_at > :decided_at
"""


def recompute(connection: Connection, alert_id: str) -> list[Recomputed]:
    """Every decision of the rules on an alert once more, in the order of its versions; none where there is none."""
    found = select_as(connection, Stored, text(_STORED), {"alert": alert_id})
    return [_recomputed(connection, stored) for stored in found]


def _recomputed(connection: Connection, stored: Stored) -> Recomputed:
    notes = list(_notes(connection, stored))
    rules = [_rule(verdict) for verdict in stored.verdicts]
    notes += [
        f"{verdict['rule']} version {verdict['version']} is not in this program: its verdict is taken as it was stored"
        for verdict in stored.verdicts
        if not _is_known(verdict)
    ]
    modes = {verdict["rule"]: verdict["mode"] for verdict in stored.verdicts}
    base = base_points() if stored.rule_set is None else stored.rule_set["base_points"]
    alert = alert_of(stored.alert_id, stored.tx_count, stored.rule, stored.account_id, stored.evidence)
    decision = decide(alert, _context(connection, stored, alert), rules, modes, base)
    return Recomputed(stored.alert_id, stored.tx_count, decision, list(_differences(stored, decision)), notes)


def _notes(connection: Connection, stored: Stored) -> Iterator[str]:
    if stored.rule_set is None:
        yield "the limits of then were not kept: those of now are used"
    if stored.transaction_id is not None and stored.source_offset is None:
        yield f"the transaction {stored.transaction_id} is not stored any more: the rules see the alert alone"
    cut = connection.execute(text(_CUT), {"decided_at": stored.decided_at}).scalar_one()
    if cut:
        yield f"{cut:,} transactions were removed by retention since: some may be missing in the account's history"


def _is_known(verdict: Mapping[str, Any]) -> bool:
    known = REGISTRY.get(verdict["rule"])
    return known is not None and known.version == verdict["version"]


def _rule(verdict: Mapping[str, Any]) -> Registered:
    """The rule of a verdict, or one that says what it said then."""
    if _is_known(verdict):
        return REGISTRY[verdict["rule"]]
    said = Verdict(verdict["points"], verdict["reason"], verdict["outcome"], verdict["facts"])
    return Registered(verdict["rule"], verdict["version"], lambda _alert, _context: said, "medium", ())


def _limits(stored: Stored) -> RuleLimits:
    if stored.rule_set is None:
        return RuleLimits()
    return RuleLimits(**{n: v for n, v in stored.rule_set["limits"].items() if n in RuleLimits.model_fields})


def _context(connection: Connection, stored: Stored, alert: Alert) -> Context:
    transaction = _transaction(connection, stored)
    keys = list_keys(alert, transaction)
    of_then = {"change_no": stored.list_change_no, "decided_at": stored.decided_at}
    values = {"values": sorted({value for _, value in keys}), **of_then}
    listed, allowed = Lists(select_as(connection, ListEntry, text(_LISTS), values)).matching(alert, keys)
    who = {"account": stored.account_id, "decided_at": stored.decided_at}
    resolved = connection.execute(text(_RESOLVED), who).one()
    return Context(
        transaction,
        tuple(_history(connection, stored)),
        listed,
        allowed,
        confirmed_before=resolved.confirmed,
        dismissed_before=resolved.dismissed,
        limits=_limits(stored),
    )


def _transaction(connection: Connection, stored: Stored) -> StoredTransaction | None:
    statement = text(f"SELECT {columns_of(StoredTransaction)} FROM transactions WHERE transaction_id = :id")
    found = select_as(connection, StoredTransaction, statement, {"id": stored.transaction_id})
    return found[0] if found else None


def _history(connection: Connection, stored: Stored) -> Sequence[StoredTransaction]:
    if stored.source_partition is None:
        return ()
    place = (0, stored.account_id, stored.source_partition, stored.source_offset)
    return fetch_values(connection.connection.cursor(), _Past, sql.HISTORY, [place])


def _differences(stored: Stored, decision: Decision) -> Iterator[str]:
    for name in ("outcome", "score", "reason"):
        before, after = getattr(stored, name), getattr(decision, name)
        if before != after:
            yield f"the {name} is stored as {before}, and is {after} once more"
    again = orjson.loads(orjson.dumps(decision.verdicts))
    for before, after in zip(stored.verdicts, again, strict=True):
        if before != after:
            yield f"the verdict of {before['rule']} is stored as {_shown(before)}, and is {_shown(after)} once more"


def _shown(verdict: Mapping[str, Any]) -> str:
    return orjson.dumps({name: verdict[name] for name in ("points", "outcome", "reason", "facts")}).decode()
