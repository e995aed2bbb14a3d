"""Judge the versions of alerts whose transaction is stored: read their context once for all, ask the rules, keep it.

Facts are taken as they stood in the log at the alert's transaction, so the same decision comes out however the batches
fell and however often the process was killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
from psycopg2.extras import execute_values

from streamguard.consumer import statements as sql
from streamguard.rules import REGISTRY, Alert, Context, Listed, Payment, RuleLimits, decide

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def judge(cursor: Any, alerts: list[str], limits: RuleLimits) -> int:
    """Decide on every waiting version of `alerts` whose transaction is there; returns how many were decided."""
    cursor.execute(sql.DECIDABLE, {"alerts": alerts})
    rows = cursor.fetchall()
    if not rows:
        return 0
    candidates = [(_alert(row), _payment(row[5:15]) if row[5] is not None else None) for row in rows]
    histories = _histories(cursor, [(row[3], row[15], row[16]) for row in rows])
    lists = _lists(cursor, candidates)
    resolved = _resolved(cursor, candidates)
    cursor.execute(sql.RULE_MODES)
    modes = dict(cursor.fetchall())
    saved = []
    for number, (alert, payment) in enumerate(candidates):
        listed, allowed = lists[number]
        confirmed, dismissed = resolved.get(alert.account_id, (0, 0))
        context = Context(payment, tuple(histories[number]), listed, allowed, confirmed, dismissed, limits)
        decision = decide(alert, context, REGISTRY.values(), modes)
        verdicts = orjson.dumps(decision.verdicts).decode()
        saved.append((alert.alert_id, alert.tx_count, decision.outcome, decision.score, decision.reason, verdicts))
    execute_values(cursor, sql.SAVE_DECISIONS, saved)
    return len(saved)


def from_ms(milliseconds: int) -> datetime:
    """An instant from epoch milliseconds, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _alert(row: Sequence[Any]) -> Alert:
    evidence = row[4]

    def instant(name: str) -> datetime | None:
        return None if evidence[name] is None else from_ms(evidence[name])

    return Alert(
        alert_id=row[0],
        tx_count=row[1],
        rule=row[2],
        account_id=row[3],
        amount=None if evidence["amount"] is None else Decimal(evidence["amount"]),
        window_start=instant("window_start"),
        window_end=instant("window_end"),
        detected_at=from_ms(evidence["detected_at"]),
    )


def _payment(fields: Sequence[Any]) -> Payment:
    return Payment(*fields)


def _histories(cursor: Any, places: list[tuple[str, int | None, int | None]]) -> defaultdict[int, list[Payment]]:
    """For each candidate the account's payments that stood before it in the log, newest first."""
    histories: defaultdict[int, list[Payment]] = defaultdict(list)
    wanted = [(number, *place) for number, place in enumerate(places) if place[1] is not None]
    if wanted:
        for row in execute_values(cursor, sql.HISTORY, wanted, fetch=True, page_size=len(wanted)):
            histories[row[0]].append(_payment(row[1:]))
    return histories


def _lists(
    cursor: Any, candidates: Sequence[tuple[Alert, Payment | None]]
) -> list[tuple[tuple[Listed, ...], tuple[Listed, ...]]]:
    """For each candidate the entries of blacklist and allow-list that match it and were in force at its time."""
    keys = [_list_keys(alert, payment) for alert, payment in candidates]
    values = sorted({value for pairs in keys for _, value in pairs})
    cursor.execute(sql.LISTED, {"values": values})
    entries = {(name, kind, value): (reason, expires) for name, kind, value, reason, expires in cursor.fetchall()}

    def matching(name: str, alert: Alert, pairs: list[tuple[str, str]]) -> tuple[Listed, ...]:
        keyed = [(pair, entries.get((name, pair[0], pair[1]))) for pair in pairs]
        return tuple(
            Listed(*pair, entry[0])
            for pair, entry in keyed
            if entry is not None and (entry[1] is None or entry[1] > alert.detected_at)
        )

    return [
        (matching("blacklist", alert, pairs), matching("allowlist", alert, pairs))
        for (alert, _), pairs in zip(candidates, keys, strict=True)
    ]


def _resolved(cursor: Any, candidates: Sequence[tuple[Alert, Payment | None]]) -> dict[str, tuple[int, int]]:
    """Incidents that analysts confirmed and dismissed, by account."""
    cursor.execute(sql.RESOLVED, {"accounts": sorted({alert.account_id for alert, _ in candidates})})
    return {account: (confirmed, dismissed) for account, confirmed, dismissed in cursor.fetchall()}


def _list_keys(alert: Alert, payment: Payment | None) -> list[tuple[str, str]]:
    """The (kind, value) pairs under which a payment could be listed."""
    keys: list[tuple[str, str | None]] = [("account", alert.account_id)]
    if payment is not None:
        keys += [("merchant", payment.merchant_id), ("device", payment.device_id)]
        keys += [("ip", payment.ip_address), ("country", payment.country)]
    return [(kind, value) for kind, value in keys if value is not None]
