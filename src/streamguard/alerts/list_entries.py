"""The lists as people look at them: pages of entries, the history of one, and how often each has matched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from streamguard.alerts.lists import ALLOWLIST, BLACKLIST
from streamguard.database.rows import columns_of, select_as

PAGE = 100


@dataclass(frozen=True)
class ListedEntry:
    """An entry with when it was first listed, and who changed it last."""

    kind: str
    value: str
    reason: str
    expires_at: datetime | None
    created_at: datetime
    changed_by: str | None


@dataclass(frozen=True)
class ListChange:
    """One change of a list, as in its history: `change` is add, change or remove."""

    kind: str
    value: str
    change: str
    reason: str | None
    expires_at: datetime | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True)
class EntryChange:
    """One change of an entry: `change` is add, change or remove."""

    change: str
    reason: str | None
    expires_at: datetime | None
    changed_by: str
    changed_at: datetime


_WHERE = """
WHERE list = :list AND (CAST(:kind AS TEXT) = '' OR kind = :kind)
    AND (CAST(:part AS TEXT) = '' OR strpos(lower(value), lower(:part)) > 0 OR strpos(lower(reason), lower(:part)) > 0)
"""
_PAGE = f"""
SELECT kind, value, reason, expires_at, created_at, (
    SELECT h.changed_by FROM list_history h
    WHERE h.list = l.list AND h.kind = l.kind AND h.value = l.value ORDER BY change_no DESC LIMIT 1
) AS changed_by
FROM lists l {_WHERE} ORDER BY kind, value LIMIT :size OFFSET :offset
"""
_HISTORY = f"""
SELECT {columns_of(EntryChange)} FROM list_history WHERE list = :list AND kind = :kind AND value = :value
ORDER BY change_no DESC LIMIT 100
"""
_CHANGES = f"""
SELECT {columns_of(ListChange)} FROM list_history WHERE list = :list
    AND (CAST(:kind AS TEXT) = '' OR kind = :kind) AND (CAST(:value AS TEXT) = '' OR value = :value)
ORDER BY change_no DESC LIMIT :most
"""
_REASONS = """
SELECT v.verdict ->> 'rule' AS rule, v.verdict ->> 'reason' AS reason, count(DISTINCT d.alert_id) AS alerts
FROM decisions d CROSS JOIN LATERAL jsonb_array_elements(d.verdicts) AS v (verdict)
WHERE d.decided_by = 'rules'
    AND d.verdicts @? '$[*] ? ((@.rule == "blacklist" || @.rule == "allow_list") && @.points != 0)'
    AND v.verdict ->> 'rule' IN ('blacklist', 'allow_list') AND (v.verdict ->> 'points')::INTEGER <> 0
GROUP BY 1, 2
"""
_NAMED = re.compile(
    r"(?:^|; )(account|merchant|device|ip|country) (.+?) is (?:blacklisted|allowed): ",
)
"""As the rules `blacklist` and `allow_list` word their verdicts."""

Matches = Mapping[tuple[str, str, str], int]
"""Alerts by list, kind and value."""


def page_of_entries(
    connection: Connection, name: str, *, kind: str = "", part: str = "", page: int = 1, size: int = PAGE
) -> list[ListedEntry]:
    """A page of a list by kind and value; `part` is a part of the value or the reason."""
    fields = {"list": name, "kind": kind, "part": part, "size": size, "offset": (page - 1) * size}
    return select_as(connection, ListedEntry, text(_PAGE), fields)


def count_entries(connection: Connection, name: str, *, kind: str = "", part: str = "") -> int:
    """How many entries there are."""
    fields = {"list": name, "kind": kind, "part": part}
    return int(connection.execute(text(f"SELECT count(*) FROM lists {_WHERE}"), fields).scalar_one())


def history_of(connection: Connection, name: str, kind: str, value: str) -> list[EntryChange]:
    """The newest 100 changes of an entry, also of one that was removed."""
    return select_as(connection, EntryChange, text(_HISTORY), {"list": name, "kind": kind, "value": value})


def changes_of(
    connection: Connection, name: str, kind: str = "", value: str = "", most: int = PAGE
) -> list[ListChange]:
    """The newest changes of a list, of one kind or entry if given, also of what was removed."""
    fields = {"list": name, "kind": kind, "value": value, "most": most}
    return select_as(connection, ListChange, text(_CHANGES), fields)


def matches(connection: Connection) -> Matches:
    """How many alerts each entry has matched: those with a decision of the rules whose verdict names the entry. It reads every
    decision."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in connection.execute(text(_REASONS)):
        name = BLACKLIST if row.rule == "blacklist" else ALLOWLIST
        for kind, value in _NAMED.findall(row.reason):
            found[name, kind, value] += row.alerts
    return found
