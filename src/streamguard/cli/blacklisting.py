"""`streamguard blacklist add|remove|list`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Annotated

import typer
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from streamguard.cli.shared import database, new_app
from streamguard.database import BlacklistRow

app = new_app("Accounts, merchants, devices, addresses and countries that must not pay.")


class Kind(str, Enum):
    """What can be listed."""

    account = "account"
    merchant = "merchant"
    device = "device"
    ip = "ip"
    country = "country"


@app.command()
def add(
    kind: Kind,
    value: str,
    reason: Annotated[str, typer.Option("--reason", help="Why; a decision quotes it.")],
    days: Annotated[float | None, typer.Option("--days", min=0, help="For so long; for good if not given.")] = None,
) -> None:
    """List a value, or change the reason and the end of one that is listed."""
    expires = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
    row = {"kind": kind.value, "value": value, "reason": reason, "expires_at": expires}
    statement = insert(BlacklistRow).values(row)
    with database() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "value"], set_={"reason": reason, "expires_at": expires}
            )
        )
    print(f"{kind.value} {value} is blacklisted{'' if expires is None else f' until {expires:%Y-%m-%d %H:%M} UTC'}")


@app.command()
def remove(kind: Kind, value: str) -> None:
    """Take a value off the list; exits 1 if it was not on it."""
    with database() as connection:
        done = connection.execute(
            delete(BlacklistRow).where(BlacklistRow.kind == kind.value, BlacklistRow.value == value)
        )
    if not done.rowcount:
        typer.echo(f"{kind.value} {value} is not on the blacklist", err=True)
        raise typer.Exit(1)
    print(f"{kind.value} {value} is off the blacklist")


@app.command("list")
def list_entries() -> None:
    """The list, one entry per line."""
    statement = select(BlacklistRow.kind, BlacklistRow.value, BlacklistRow.reason, BlacklistRow.expires_at)
    with database() as connection:
        rows = connection.execute(statement.order_by(BlacklistRow.kind, BlacklistRow.value)).all()
    for kind, value, reason, expires in rows:
        until = "for good" if expires is None else f"until {expires:%Y-%m-%d %H:%M} UTC"
        print(f"{kind:<9} {value:<24} {until:<26} {reason}")
    if not rows:
        print("the blacklist is empty")
