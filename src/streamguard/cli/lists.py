"""`streamguard blacklist|allowlist add|remove|list|history`: one set of commands for both lists."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer
from kafka.errors import KafkaError
from sqlalchemy import Connection

from streamguard.alerts import blacklist_topic
from streamguard.alerts.list_changes import put, take_off
from streamguard.alerts.list_entries import changes_of, page_of_entries
from streamguard.alerts.lists import ALLOWLIST, BLACKLIST, Entry, Kind, entries_of
from streamguard.cli.shared import database, new_app, print_line
from streamguard.config import get_settings
from streamguard.privacy.mode import protection_of

Reason = Annotated[str, typer.Option("--reason", help="Why; a decision quotes it.")]
Removal = Annotated[str | None, typer.Option("--reason", help="Why; it is in the history.")]
Days = Annotated[float | None, typer.Option("--days", min=0, help="For so long; without an end if not given.")]
Who = Annotated[str | None, typer.Option("--by", help="Who changes the list; the login name if not given.")]

_ALL = 1_000_000


def _commands(name: str, help_text: str) -> typer.Typer:
    """The commands on one list."""
    app = new_app(help_text)

    @app.command()
    def add(kind: Kind, value: str, reason: Reason, days: Days = None, by: Who = None) -> None:
        """List a value, or change the reason and the end of one that is listed."""
        expires = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
        with database() as connection:
            entry = Entry(kind.value, value, reason, expires)
            change = put(connection, get_settings(), name, entry, who=by or getpass.getuser())
        if change.record is not None:
            _publish([change.record])
        until = "" if expires is None else f" until {expires:%Y-%m-%d %H:%M} UTC"
        print_line(f"{kind.value} {change.stored} is on the {name}{until}")

    @app.command()
    def remove(kind: Kind, value: str, reason: Removal = None, by: Who = None) -> None:
        """Take a value off the list; exits 1 if it was not on it. Its history stays."""
        with database() as connection:
            who = by or getpass.getuser()
            change = take_off(connection, get_settings(), name, kind.value, value, who=who, reason=reason)
        if not change.found:
            print_line(f"{kind.value} {change.stored} is not on the {name}", err=True)
            raise typer.Exit(1)
        if change.record is not None:
            _publish([change.record])
        print_line(f"{kind.value} {change.stored} is off the {name}")

    @app.command("list")
    def list_entries() -> None:
        """The list, one entry per line: until when, who changed it last, since when, why."""
        with database() as connection:
            entries = page_of_entries(connection, name, size=_ALL)
        for entry in entries:
            who = f"{entry.changed_by or 'unknown'} {entry.created_at:%Y-%m-%d}"
            print_line(f"{entry.kind:<9} {entry.value:<24} {_until(entry.expires_at):<26} {who:<22} {entry.reason}")
        if not entries:
            print_line(f"the {name} is empty")

    @app.command()
    def history(
        kind: Annotated[Kind | None, typer.Argument(help="Of this kind; all if not given.")] = None,
        value: Annotated[str | None, typer.Argument(help="Of this entry; all of the kind if not given.")] = None,
        limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 100,
    ) -> None:
        """The newest changes of the list: when, who, what, why; also of entries that were removed."""
        with database() as connection:
            stored = "" if kind is None or value is None else _listed(connection, kind.value, value)
            changes = changes_of(connection, name, kind.value if kind else "", stored, limit)
        for change in changes:
            until = "" if change.change == "remove" else _until(change.expires_at)
            when = f"{change.changed_at:%Y-%m-%d %H:%M:%S} UTC"
            what = f"{change.change:<7} {change.kind:<9} {change.value:<24} {until:<26}"
            print_line(f"{when}  {change.changed_by:<12} {what} {change.reason or 'no reason given'}")
        if not changes:
            print_line(f"no such change of the {name}")

    return app


def _listed(connection: Connection, kind: str, value: str) -> str:
    """A value as the list has it: protected, where personal data is."""
    return protection_of(connection, get_settings()).listed(kind, value)


def _until(expires_at: datetime | None) -> str:
    return "without end" if expires_at is None else f"until {expires_at:%Y-%m-%d %H:%M} UTC"


def _publish(records: list[tuple[str, bytes | None]]) -> None:
    """Write to the topic. The table has the change already: an unavailable Kafka is reported, with the way to repair it."""
    try:
        blacklist_topic.publish(get_settings(), records)
    except KafkaError as error:
        reason = type(error).__name__
        print_line(
            f"the topic blacklist does not have it ({reason}); `streamguard blacklist sync` writes it whole", err=True
        )


blacklist_app = _commands(BLACKLIST, "Accounts, merchants, devices, addresses and countries that must not pay.")
allowlist_app = _commands(ALLOWLIST, "Trusted accounts, merchants, devices, addresses and countries.")


@blacklist_app.command()
def sync() -> None:
    """Write the whole blacklist to its topic, for the SQL rule that joins with it."""
    with database() as connection:
        entries = entries_of(connection, BLACKLIST)
        protection = protection_of(connection, get_settings())
    # The SQL rule compares with transactions as they are sent; what the table keeps as a token or mask would never match.
    clear = [entry for entry in entries if not protection.protects(entry.kind)]
    _publish([blacklist_topic.record_of(entry) for entry in clear])
    protected = len(entries) - len(clear)
    print_line(f"{len(clear)} entries written{f'; {protected} protected ones stay in the table' if protected else ''}")
