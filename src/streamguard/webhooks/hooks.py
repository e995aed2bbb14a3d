"""The addresses: add, change, switch, rotate the secret, remove; each with its row in the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

import orjson
from sqlalchemy import Connection, text

from streamguard.config import Settings, UserError
from streamguard.config.http import is_loopback
from streamguard.database.rows import columns_of, select_as
from streamguard.rules.catalogue import SQL, catalogue
from streamguard.users import audit
from streamguard.webhooks import offsets
from streamguard.webhooks.signing import new_secret

MOST_HOOKS = 20
"""Each may have a thread and a connection of the desk."""
Outcome = Literal["block", "review", "dismiss", "refused", "confirmed", "dismissed", "duplicate", "reopened"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
"""What the rules, the consumer and analysts decide."""
LONGEST_URL = 2_000


class WrongHook(UserError):
    """A webhook cannot be made or changed as asked."""


class NoSuchHook(UserError):
    """There is no webhook of this number."""


@dataclass(frozen=True)
class Hook:
    """A webhook without its secrets. Empty `outcomes` and `rules` are all; `off_reason` says why it is off.

    `failures` are failed attempts in a row, since `failing_since`; nothing is tried before `held_until`.
    """

    hook_no: int
    url: str
    description: str
    outcomes: list[str]
    rules: list[str]
    rotated_at: datetime | None
    is_on: bool
    off_reason: str | None
    created_by: str
    created_at: datetime
    failures: int
    failing_since: datetime | None
    held_until: datetime | None
    last_error: str | None

    def wants(self, outcome: str | None, rule: str | None) -> bool:
        """Whether it gets a decision; None where the record does not say."""
        return (not self.outcomes or outcome in self.outcomes) and (not self.rules or rule in self.rules)


@dataclass(frozen=True)
class Wanted:
    """Where to post to, and what. Empty `outcomes` and `rules` are all."""

    url: str
    description: str = ""
    outcomes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As the audit log has it."""
        return {
            "url": self.url,
            "description": self.description,
            "outcomes": list(self.outcomes),
            "rules": list(self.rules),
        }


_SELECT = f"SELECT {columns_of(Hook)} FROM webhooks"
_INSERT = """
INSERT INTO webhooks (url, description, outcomes, rules, secret, created_by)
VALUES (:url, :description, CAST(:outcomes AS JSONB), CAST(:rules AS JSONB), :secret, :by) RETURNING hook_no
"""
# A new address has not failed yet.
_CHANGE = """
UPDATE webhooks SET url = :url, description = :description, outcomes = CAST(:outcomes AS JSONB), rules = CAST(:rules AS JSONB),
    failures = CASE WHEN url = :url THEN failures ELSE 0 END,
    failing_since = CASE WHEN url = :url THEN failing_since END,
    held_until = CASE WHEN url = :url THEN held_until END,
    last_error = CASE WHEN url = :url THEN last_error END
WHERE hook_no = :no
"""
_SWITCH = """
UPDATE webhooks SET is_on = :on, off_reason = :reason, failures = 0, failing_since = NULL, held_until = NULL, last_error = NULL
WHERE hook_no = :no
"""
# What has waited is tried at once, and has a day again.
_DUE_NOW = """
UPDATE webhook_deliveries SET next_at = clock_timestamp(), attempts = 0, first_at = NULL
WHERE hook_no = :no AND status = 'waiting'
"""
_ROTATE = (
    "UPDATE webhooks SET secret_before = secret, secret = :secret, rotated_at = clock_timestamp() WHERE hook_no = :no"
)


def hooks(connection: Connection) -> list[Hook]:
    """All webhooks, by their number."""
    return select_as(connection, Hook, text(f"{_SELECT} ORDER BY hook_no"))


def hook(connection: Connection, number: int) -> Hook:
    """One webhook. Raises NoSuchHook."""
    found = select_as(connection, Hook, text(f"{_SELECT} WHERE hook_no = :no"), {"no": number})
    if not found:
        raise NoSuchHook(f"there is no webhook {number}")
    return found[0]


def add_hook(connection: Connection, settings: Settings, wanted: Wanted, *, by: str) -> tuple[int, str]:
    """Make a webhook, which gets what is decided from now on; its number, and its secret, to be shown once.

    Raises WrongHook, KafkaUnavailable where it is the first and Kafka does not say where the topic ends.
    """
    _check(connection, wanted)
    offsets.lock(connection)
    there = len(hooks(connection))
    if there >= MOST_HOOKS:
        raise WrongHook(f"there are {MOST_HOOKS} webhooks, the most that there may be: remove one first")
    if not there:
        offsets.begin(connection, settings)
    secret = new_secret()
    values = {**_values(wanted), "secret": secret, "by": by}
    number = int(connection.execute(text(_INSERT), values).scalar_one())
    audit.note(connection, by, "webhooks.add", f"webhook {number}", after=wanted.shown())
    return number, secret


def change_hook(connection: Connection, number: int, wanted: Wanted, *, by: str, reason: str) -> None:
    """Another address, description or filter; what waits is sent to the new address. Raises WrongHook, NoSuchHook."""
    before = hook(connection, number)
    _check(connection, wanted)
    connection.execute(text(_CHANGE), {**_values(wanted), "no": number})
    if wanted.url != before.url:
        connection.execute(text(_DUE_NOW), {"no": number})
    old = Wanted(before.url, before.description, tuple(before.outcomes), tuple(before.rules))
    audit.note(
        connection, by, "webhooks.change", f"webhook {number}", reason=reason, before=old.shown(), after=wanted.shown()
    )


def switch_hook(connection: Connection, number: int, on: bool, *, by: str, reason: str) -> None:
    """Send again, or let deliveries wait. Raises NoSuchHook."""
    hook(connection, number)
    off_reason = None if on else f"{by}: {reason}"
    connection.execute(text(_SWITCH), {"on": on, "reason": off_reason, "no": number})
    if on:
        connection.execute(text(_DUE_NOW), {"no": number})
    audit.note(connection, by, "webhooks.resume" if on else "webhooks.pause", f"webhook {number}", reason=reason)


def rotate_secret(connection: Connection, number: int, *, by: str, reason: str) -> str:
    """A new secret, to be shown once; the old one signs as well for a day. Raises NoSuchHook."""
    hook(connection, number)
    secret = new_secret()
    connection.execute(text(_ROTATE), {"secret": secret, "no": number})
    audit.note(connection, by, "webhooks.rotate", f"webhook {number}", reason=reason)
    return secret


def remove_hook(connection: Connection, number: int, *, by: str, reason: str) -> None:
    """Remove a webhook with its deliveries, also those that wait. Raises NoSuchHook."""
    offsets.lock(connection)
    before = hook(connection, number)
    connection.execute(text("DELETE FROM webhooks WHERE hook_no = :no"), {"no": number})
    if not hooks(connection):
        offsets.forget(connection)
    audit.note(connection, by, "webhooks.remove", f"webhook {number}", reason=reason, before={"url": before.url})


def _values(wanted: Wanted) -> Mapping[str, str]:
    return {
        "url": wanted.url,
        "description": wanted.description,
        "outcomes": orjson.dumps(wanted.outcomes).decode(),
        "rules": orjson.dumps(wanted.rules).decode(),
    }


def _check(connection: Connection, wanted: Wanted) -> None:
    check_url(wanted.url)
    if len(wanted.description) > 200:
        raise WrongHook("a description has at most 200 characters")
    for outcome in wanted.outcomes:
        if outcome not in OUTCOMES:
            raise WrongHook(f"{outcome[:40]!r} is no outcome: {', '.join(OUTCOMES)}")
    _check_rules(connection, wanted.rules)


def _check_rules(connection: Connection, rules: Sequence[str]) -> None:
    """A name with a slip of the pen would mean that nothing is ever sent."""
    known = {rule.name for rule in catalogue() if rule.kind == SQL}
    for rule in rules:
        seen = text("SELECT EXISTS (SELECT FROM fraud_alerts WHERE rule = :rule)")
        if rule not in known and not connection.execute(seen, {"rule": rule}).scalar():
            raise WrongHook(f"there is no SQL rule {rule[:80]!r}, and no alert of one: the page Rules has their names")


def check_url(url: str) -> None:
    """Raises WrongHook unless decisions may be posted there: https, or http on this machine."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongHook(f"{url[:80]!r} is no address: https://HOST/PATH is needed")
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise WrongHook(f"an address has at most {LONGEST_URL:,} characters, of ASCII, without spaces")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise WrongHook("the address must not have a user name, a password or a fragment: the signature says who sends")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise WrongHook(
            f"http goes to this machine only; {parts.hostname} needs https, for decisions have personal data"
        )


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # Asked for here, since a wrong port is found only then.
        return parts if parts.port is None or parts.port > 0 else None
    except ValueError:
        return None
