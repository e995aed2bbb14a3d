"""`streamguard blacklist|allowlist add|remove|list`: one set of commands for both lists."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer
from kafka.errors import KafkaError

from streamguard.alerts import blacklist_topic
from streamguard.alerts.list_changes import put, take_off
from streamguard.alerts.lists import ALLOWLIST, BLACKLIST, Entry, Kind, entries_of
from streamguard.cli.shared import database, new_app, print_line
from streamguard.config import get_settings
from streamguard.privacy.mode import protection_of

Reason = Annotated[str, typer.Option("--reason", help="Why; a decision quotes it.")]
Days = Annotated[float | None, typer.Option("--days", min=0, help="For so long; without an end if not given.")]
Who = Annotated[str | None, typer.Option("--by", help="Who changes the list; the login name if not given.")]


def _commands(name: str, help_text: str) -> typer.Typer:
    """The three commands on one list."""
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
    def remove(kind: Kind, value: str, by: Who = None) -> None:
        """Take a value off the list; exits 1 if it was not on it."""
        with database() as connection:
            change = take_off(connection, get_settings(), name, kind.value, value, who=by or getpass.getuser())
        if not change.found:
            print_line(f"{kind.value} {change.stored} is not on the {name}", err=True)
            raise typer.Exit(1)
        if change.record is not None:
            _publish([change.record])
        print_line(f"{kind.value} {change.stored} is off the {name}")

    @app.command("list")
    def list_entries() -> None:
        """The list, one entry per line."""
        with database() as connection:
            entries = entries_of(connection, name)
        for entry in entries:
            until = "without end" if entry.expires_at is None else f"until {entry.expires_at:%Y-%m-%d %H:%M} UTC"
            print_line(f"{entry.kind:<9} {entry.value:<24} {until:<26} {entry.reason}")
        if not entries:
            print_line(f"the {name} is empty")

    return app


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
