"""Personal data on its way into the database: card and account numbers, addresses and devices, kept, masked or replaced.

What each setting `STREAMGUARD_PII_{ACCOUNT,CARD,IP,DEVICE}` does to a value:

* `keep`: nothing.
* `token`: `acc_` and 24 hex digits of HMAC-SHA-256 under `STREAMGUARD_PII_KEY`. One value has one token, wherever it
  is, so alerts match their transactions, lists their entries, and rules the devices that they know.
* `mask`: what a person needs to recognise it (the last digits, the network of an address), then 16 hex digits of the same
  HMAC: two cards that end alike must not become one.

A field is known by its name (`KINDS`), at any depth of the record and however it is written: `cardNumber`, `CARD_NUMBER`.
The consumer applies this before anything else sees the record; rows, raw records, dead letters and its log lines follow.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from streamguard.models import FraudAlert, Transaction
from streamguard.models.columns import loads, storable

_PREFIXES = {"account": "acc", "card": "card", "ip": "ip", "device": "dev"}
_NAMES = {
    "account": "accountid account accountnumber accountno customerid iban fromaccount toaccount sourceaccount "
    "destinationaccount beneficiaryaccount counterpartyaccount",
    "card": "cardnumber card cardno cardid ccnum pan primaryaccountnumber",
    "ip": "ipaddress ip clientip remoteaddr remoteip sourceip",
    "device": "deviceid device devicefingerprint fingerprint imei",
}
KINDS: dict[str, str] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
"""Name of a field, in lower case without `_` and `-`, to the kind of value that it holds."""

MODES_BY_FORM = {"token": r"(acc|card|ip|dev)_[0-9a-f]{24}", "mask": r".*\*~[0-9a-f]{16}|\*+[^*~]*~[0-9a-f]{16}"}
"""The modes that change a value, each with the form (a regular expression) that its values have."""

_PROTECTED = re.compile("|".join(MODES_BY_FORM.values()))
_FREE_TEXTS = ("merchant_name", "city")
"""Texts of a transaction in which its own personal values may recur."""

_TEXT_ENCODING_ERRORS = "surrogatepass"


class Protection:
    """What is done to each kind of value. Without any, `active` is false and nobody asks further."""

    def __init__(
        self, modes: Mapping[str, str] | None = None, key: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        self._modes = {kind: mode for kind, mode in (modes or {}).items() if mode != "keep"}
        self.active = bool(self._modes)
        if self.active and not key:
            raise ValueError("masks and tokens need a key")
        self._key = key.encode()
        self._fields = dict(fields or {})
        named = {**KINDS, **{_plain(name): kind for name, kind in (fields or {}).items()}}
        self._kinds = {name: kind for name, kind in named.items() if kind in self._modes}
        self._kind_of = lru_cache(maxsize=4_096)(lambda name: self._kinds.get(_plain(name)))
        self.value = lru_cache(maxsize=100_000)(self._value)
        """(kind, clear) -> what is stored for it. Remembered: HMAC is most of the cost."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: what is remembered stays here."""
        return Protection, (self._modes, self._key.decode(), self._fields)

    def protects(self, kind: str) -> bool:
        """Whether values of this kind are stored otherwise than they come."""
        return kind in self._modes

    def listed(self, kind: str, value: str) -> str:
        """A value that a person types, as the database has it: what was copied from a row stays as it is."""
        return value if _PROTECTED.fullmatch(value) else self.value(kind, value)

    def _value(self, kind: str, clear: str) -> str:
        mode = self._modes.get(kind)
        if mode is None:
            return clear
        text = f"{kind}\x00{clear}".encode("utf-8", _TEXT_ENCODING_ERRORS)
        digest = hmac.digest(self._key, text, "sha256").hex()
        return f"{_PREFIXES[kind]}_{digest[:24]}" if mode == "token" else f"{_masked(kind, clear)}~{digest[:16]}"

    def transaction(self, transaction: Transaction) -> Transaction:
        """The transaction as it is stored, its own personal values replaced in its free texts too."""
        changes = {"account_id": self.value("account", transaction.account_id)}
        if transaction.device_id is not None:
            changes["device_id"] = self.value("device", transaction.device_id)
        if transaction.ip_address is not None:
            changes["ip_address"] = self.value("ip", transaction.ip_address)
        clear = {old: new for name, new in changes.items() if (old := getattr(transaction, name)) != new}
        for name in _FREE_TEXTS:
            text = getattr(transaction, name)
            if text is not None and clear:
                changes[name] = _within(text, clear)
        return transaction.model_copy(update=changes)

    def reason(self, text: str, kind: str, value: str) -> str:
        """A reason that a person types for an entry of a list, without the clear value of the entry."""
        return _within(text, {value: self.listed(kind, value)})

    def alert(self, alert: FraudAlert) -> FraudAlert:
        """The alert as it is stored. Its id may speak of the account: `HIGH_VELOCITY:<account>:<window start>`."""
        account = self.value("account", alert.account_id)
        if account == alert.account_id:
            return alert
        alert_id = _within(alert.alert_id, {alert.account_id: account})
        return alert.model_copy(update={"account_id": account, "alert_id": alert_id})

    def raw(self, value: bytes, key: bytes | None) -> bytes:
        """A record's JSON with its personal values replaced, also where they recur in other texts of it.

        The transaction's own id stays: it is the name of the row. What is no JSON object cannot be searched by field, so
        nothing of it stays but its length and a keyed digest, by which it can be found in the log again.
        """
        try:
            fields = storable(loads(value))
        except ValueError:
            return self._withheld(value, "not JSON")
        if not isinstance(fields, dict):
            return self._withheld(value, "not a JSON object")
        clear: dict[str, str] = {}
        if key is not None and "account" in self._modes:
            account = key.decode("utf-8", "replace")
            clear[account] = self.value("account", account)
        fields = self._replaced(fields, None, clear)
        written = orjson.dumps(fields)
        if any(orjson.dumps(text)[1:-1] in written for text in clear):
            written = orjson.dumps(_scrubbed(fields, clear))
        return written

    def kept(self, key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None]:
        """Key and value of a record as a dead letter keeps them: whole, or protected."""
        if not self.active:
            return key, value
        return self.key(key), None if value is None else self.raw(value, key)

    def key(self, key: bytes | None) -> bytes | None:
        """A record's key, the account, as a dead letter keeps it."""
        if key is None or "account" not in self._modes:
            return key
        try:
            return self.value("account", key.decode("utf-8")).encode()
        except UnicodeDecodeError:
            return self._withheld(key, "not UTF-8")

    def _withheld(self, data: bytes, why: str) -> bytes:
        digest = hmac.digest(self._key, b"withheld\x00" + data, "sha256").hex()
        return orjson.dumps({"withheld": why, "bytes": len(data), "hmac_sha256": digest})

    def _replaced(self, value: Any, kind: str | None, clear: dict[str, str]) -> Any:
        """`value` with what is under protected names replaced; `clear` collects from what to what."""
        if isinstance(value, dict):
            return {name: self._replaced(item, self._kind_of(name) or kind, clear) for name, item in value.items()}
        if isinstance(value, list):
            return [self._replaced(item, kind, clear) for item in value]
        if kind is None or value is None or isinstance(value, bool):
            return value
        text = value if isinstance(value, str) else str(value)
        clear[text] = replaced = self.value(kind, text)
        return replaced


NO_PROTECTION = Protection()
"""Everything is stored as it comes: the default, for generated data."""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _masked(kind: str, clear: str) -> str:
    """Never more than a third of the value stays to be read."""
    if kind == "ip":
        parts = re.split(r"[.:]", clear)
        if len(parts) >= 4:
            return f"{parts[0]}{clear[len(parts[0])]}{parts[1]}{clear[len(parts[0])]}*"
        return "*"
    shown = min(4, len(clear) // 3)
    return "****" + clear[len(clear) - shown :]


def _within(text: str, clear: Mapping[str, str]) -> str:
    """Replace clear values that stand in a text as words of their own; the longest first."""
    for old in sorted(filter(None, clear), key=len, reverse=True):
        if old in text:
            text = re.sub(rf"(?<![^\W_]){re.escape(old)}(?![^\W_])", lambda _, new=clear[old]: new, text)  # type: ignore[misc]
    return text


def _scrubbed(value: Any, clear: Mapping[str, str]) -> Any:
    """The second look, at all other texts and names, for values that recur there."""
    if isinstance(value, dict):
        return {
            _within(name, clear): item if _plain(name) == "transactionid" else _scrubbed(item, clear)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_scrubbed(item, clear) for item in value]
    return _within(value, clear) if isinstance(value, str) else value
