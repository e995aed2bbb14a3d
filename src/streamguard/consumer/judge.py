"""Judge the versions of alerts whose transaction is stored: read their context once for all, ask the rules, keep it.

Facts are taken as of the offset of the alert's transaction, so the same decision results however the batches fell and
however often the process was killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from psycopg2.extras import execute_values

from streamguard.consumer import statements as sql
from streamguard.consumer.rule_sets import RuleSets
from streamguard.database import prepared
from streamguard.database.outbox import NewDecision, save_decisions
from streamguard.database.rows import fetch, fetch_values
from streamguard.rules import REGISTRY, Alert, Context, Listed, StoredTransaction, decide
from streamguard.rules.listed import ListEntry, Lists, list_keys

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an alert that can be judged now; the offset is that of its transaction, None without one."""

    alert_id: str
    tx_count: int
    rule: str
    account_id: str
    evidence: dict[str, Any]
    transaction_id: str | None
    source_partition: int | None
    source_offset: int | None

    @property
    def alert(self) -> Alert:
        """The version as the rules see it."""
        return alert_of(self.alert_id, self.tx_count, self.rule, self.account_id, self.evidence)


@dataclass(frozen=True, slots=True)
class _Past(StoredTransaction):
    """A transaction of the history of a candidate, by the number of the candidate."""

    candidate: int


@dataclass(frozen=True, slots=True)
class _Resolved:
    account_id: str
    confirmed: int
    dismissed: int


@dataclass(frozen=True, slots=True)
class _Mode:
    """The mode of a rule, None for no rule at all; and the last deployment of a SQL rule."""

    deployment_no: int
    rule: str | None
    mode: str | None


@dataclass(frozen=True, slots=True)
class _ListEntry:
    """An entry, None in all its fields for none at all; and the last change of the lists."""

    list_change_no: int
    list: str | None
    kind: str | None
    value: str | None
    reason: str | None
    expires_at: datetime | None


class Judged(NamedTuple):
    """A version of an alert that was decided, and when its transaction happened (None without one), epoch seconds."""

    rule: str
    outcome: str
    event_time_s: float | None
    alert_id: str
    tx_count: int
    transaction_id: str | None
    score: int


def judge(cursor: Any, alerts: list[str], rules: RuleSets, topic: str) -> list[Judged]:
    """Decide on every waiting version of `alerts` whose transaction is stored; returns what was decided.

    Each decision names the rule set that it rests on, and is put into the outbox for `topic`.
    """
    prepared.execute(cursor, sql.JUDGEABLE, {"alerts": alerts})
    versions = fetch(cursor, _Version)
    if not versions:
        return []
    candidates = [(version.alert, found) for version, found in zip(versions, _found(cursor, versions), strict=True)]
    histories = _histories(cursor, versions)
    lists, list_change_no = _lists(cursor, candidates)
    resolved = _resolved(cursor, candidates)
    prepared.execute(cursor, sql.RULE_MODES)
    found_modes = fetch(cursor, _Mode)
    modes = {row.rule: row.mode for row in found_modes if row.rule is not None and row.mode is not None}
    rule_set_no = rules.number(cursor, modes, found_modes[0].deployment_no)
    decisions, judged = [], []
    for number, (alert, transaction) in enumerate(candidates):
        listed, allowed = lists[number]
        before = resolved.get(alert.account_id)
        context = Context(
            transaction,
            tuple(histories[number]),
            listed,
            allowed,
            confirmed_before=before.confirmed if before else 0,
            dismissed_before=before.dismissed if before else 0,
            limits=rules.limits,
        )
        decision = decide(alert, context, REGISTRY.values(), modes, rules.base)
        at_s = None if transaction is None else transaction.event_time.timestamp()
        of = (alert.alert_id, alert.tx_count, versions[number].transaction_id, decision.score)
        judged.append(Judged(alert.rule, decision.outcome, at_s, *of))
        decisions.append(
            NewDecision(
                alert_id=alert.alert_id,
                tx_count=alert.tx_count,
                decided_by="rules",
                action_no=0,
                transaction_id=versions[number].transaction_id,
                outcome=decision.outcome,
                score=decision.score,
                reason=decision.reason,
                verdicts=orjson.dumps(decision.verdicts).decode(),
                rule_set_no=rule_set_no,
                list_change_no=list_change_no,
            )
        )
    save_decisions(cursor, decisions, topic)
    marked = [(version.alert_id, version.tx_count) for version in versions]
    execute_values(cursor, sql.MARK_JUDGED, marked, page_size=len(marked))
    return judged


def alert_of(alert_id: str, tx_count: int, rule: str, account_id: str, evidence: Mapping[str, Any]) -> Alert:
    """A version of an alert as the rules see it; `evidence` is that of `alert_versions`."""

    def instant(name: str) -> datetime | None:
        return None if evidence[name] is None else from_ms(evidence[name])

    amount = evidence["amount"]
    return Alert(
        alert_id=alert_id,
        tx_count=tx_count,
        rule=rule,
        account_id=account_id,
        amount=None if amount is None else Decimal(amount),
        window_start=instant("window_start"),
        window_end=instant("window_end"),
        detected_at=from_ms(evidence["detected_at"]),
    )


def from_ms(milliseconds: int) -> datetime:
    """An instant from epoch milliseconds, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _found(cursor: Any, versions: Sequence[_Version]) -> list[StoredTransaction | None]:
    """The transaction of each version, None for those that name none."""
    ids = sorted({version.transaction_id for version in versions if version.transaction_id is not None})
    prepared.execute(cursor, sql.TRANSACTIONS_BY_ID, {"transactions": ids})
    by_id = {transaction.transaction_id: transaction for transaction in fetch(cursor, StoredTransaction)}
    return [None if v.transaction_id is None else by_id[v.transaction_id] for v in versions]


def _histories(cursor: Any, versions: Sequence[_Version]) -> defaultdict[int, list[StoredTransaction]]:
    """For each version the account's transactions before its own in their partition, newest first."""
    histories: defaultdict[int, list[StoredTransaction]] = defaultdict(list)
    rows = [
        (number, version.account_id, version.source_partition, version.source_offset)
        for number, version in enumerate(versions)
        if version.source_partition is not None
    ]
    for past in fetch_values(cursor, _Past, sql.HISTORY, rows) if rows else ():
        histories[past.candidate].append(past)
    return histories


Candidate = tuple[Alert, "StoredTransaction | None"]


def _lists(
    cursor: Any, candidates: Sequence[Candidate]
) -> tuple[list[tuple[tuple[Listed, ...], tuple[Listed, ...]]], int]:
    """For each candidate the entries of blacklist and allowlist that match it and are valid at its time; and the last change
    of the lists."""
    keys = [list_keys(alert, transaction) for alert, transaction in candidates]
    values = sorted({value for pairs in keys for _, value in pairs})
    prepared.execute(cursor, sql.LISTED, {"values": values})
    found = fetch(cursor, _ListEntry)
    lists = Lists(
        ListEntry(row.list, row.kind, row.value, row.reason or "", row.expires_at)
        for row in found
        if row.list is not None and row.kind is not None and row.value is not None
    )
    matching = [lists.matching(alert, pairs) for (alert, _), pairs in zip(candidates, keys, strict=True)]
    return matching, found[0].list_change_no


def _resolved(cursor: Any, candidates: Sequence[Candidate]) -> dict[str, _Resolved]:
    """The alerts that analysts confirmed and dismissed, by account."""
    prepared.execute(cursor, sql.RESOLVED, {"accounts": sorted({alert.account_id for alert, _ in candidates})})
    return {row.account_id: row for row in fetch(cursor, _Resolved)}
