"""`streamguard users list|add|role|reset|disable|enable`: who may log in to the desk."""

from __future__ import annotations

import getpass
from enum import Enum
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app, print_line
from streamguard.users import accounts
from streamguard.users.roles import ADMIN, ANALYST, LEAD, PERMISSIONS, ROLES, VIEWER, may

app = new_app("Who may log in to the desk, and as what.")


class Role(str, Enum):
    """What a user may do, from the least to the most."""

    viewer = VIEWER
    analyst = ANALYST
    lead = LEAD
    admin = ADMIN


Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Who = Annotated[str | None, typer.Option("--by", help="Who changes it; the login name if not given.")]


@app.command("list")
def list_users() -> None:
    """All users with their roles."""
    with database() as connection:
        found = accounts.users(connection)
    for user in found:
        state = (
            f"disabled {user.disabled_at:%Y-%m-%d}"
            if user.disabled_at
            else "must change the password"
            if user.must_change
            else ""
        )
        print_line(f"{user.user_name:<20} {user.role:<8} {user.created_at:%Y-%m-%d}  {state}".rstrip())
    if not found:
        print_line("no users: `streamguard up` makes the first")


@app.command()
def roles() -> None:
    """What each role may do."""
    for name in ROLES:
        print_line(f"{name:<8} {', '.join(action for action in PERMISSIONS if may(name, action))}")


@app.command()
def add(name: str, role: Role, by: Who = None) -> None:
    """Make a user with a random password, shown once, to be changed at the first login."""
    with database() as connection:
        password = accounts.add_user(connection, name, role.value, by=_who(by))
    print_line(f"{name} is {role.value}; first password: {password}")


@app.command()
def role(name: str, role: Role, reason: Why, by: Who = None) -> None:
    """Give a user another role."""
    with database() as connection:
        accounts.change_role(connection, name, role.value, by=_who(by), reason=reason)
    print_line(f"{name} is {role.value}")


@app.command()
def reset(name: str, reason: Why = "password lost", by: Who = None) -> None:
    """A new random password, shown once; every login of the user ends."""
    with database() as connection:
        password = accounts.reset_password(connection, name, by=_who(by), reason=reason)
    print_line(f"{name}: new password: {password}")


@app.command()
def disable(name: str, reason: Why, by: Who = None) -> None:
    """Keep a user from logging in, at once."""
    _switch(name, True, reason, by)


@app.command()
def enable(name: str, reason: Why, by: Who = None) -> None:
    """Allow a disabled user to log in again."""
    _switch(name, False, reason, by)


def _switch(name: str, disabled: bool, reason: str, by: str | None) -> None:
    with database() as connection:
        accounts.set_disabled(connection, name, disabled, by=_who(by), reason=reason)
    print_line(f"{name} is {'disabled' if disabled else 'enabled'}")


def _who(by: str | None) -> str:
    return by or getpass.getuser()
