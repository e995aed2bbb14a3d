"""Which entries of the blacklist and the allowlist match an alert: by account, merchant, device, address and country."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as
from streamguard.rules.base import Alert, Listed, StoredTransaction


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An entry of the table `lists`; `list` is blacklist or allowlist. It is valid before `expires_at`, None for ever."""

    list: str
    kind: str
    value: str
    reason: str
    expires_at: datetime | None


class Lists:
    """Entries, found by what they list."""

    def __init__(self, entries: Iterable[ListEntry] = ()) -> None:
        self._entries = {(entry.list, entry.kind, entry.value): entry for entry in entries}

    @property
    def entries(self) -> list[ListEntry]:
        """All entries, in the order of what they list."""
        return [self._entries[key] for key in sorted(self._entries)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lists) and self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]

    def matching(self, alert: Alert, keys: Sequence[tuple[str, str]]) -> tuple[tuple[Listed, ...], tuple[Listed, ...]]:
        """The entries of the blacklist and those of the allowlist under `keys` that are valid at the alert's time."""
        return self._of("blacklist", alert, keys), self._of("allowlist", alert, keys)

    def _of(self, name: str, alert: Alert, keys: Sequence[tuple[str, str]]) -> tuple[Listed, ...]:
        if not self._entries:
            return ()
        found = (self._entries.get((name, kind, value)) for kind, value in keys)
        return tuple(
            Listed(entry.kind, entry.value, entry.reason)
            for entry in found
            if entry is not None and (entry.expires_at is None or entry.expires_at > alert.detected_at)
        )


def stored_lists(connection: Connection) -> Lists:
    """All entries of the database, expired ones too."""
    return Lists(select_as(connection, ListEntry, text(f"SELECT {columns_of(ListEntry)} FROM lists")))


def list_keys(alert: Alert, transaction: StoredTransaction | None) -> list[tuple[str, str]]:
    """The (kind, value) pairs under which a transaction could be listed."""
    keys: list[tuple[str, str | None]] = [("account", alert.account_id)]
    if transaction is not None:
        keys += [("merchant", transaction.merchant_id), ("device", transaction.device_id)]
        keys += [("ip", transaction.ip_address), ("country", transaction.country)]
    return [(kind, value) for kind, value in keys if value is not None]
