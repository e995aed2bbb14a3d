"""Users: who may log in with which role; add, change, reset, disable."""

from __future__ import annotations

from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import Visit, route
from streamguard.users import accounts
from streamguard.users.roles import PERMISSIONS, ROLES, may

DISABLE, ENABLE = "disable", "enable"


@route("GET", "/system/users", needs="users.change")
def people(visit: Visit) -> Response:
    """All users, and the table of permissions."""
    return _page(visit)


@route("POST", "/system/users/add", needs="users.change")
def add(visit: Visit) -> Response:
    """Make a user; the page shows the password, once."""
    name = visit.text("user_name").lower()
    with visit.database() as connection:
        password = accounts.add_user(connection, name, visit.text("role"), by=visit.user)
    return _page(visit, made=name, password=password)


@route("POST", "/system/users/{name}/reset", needs="users.change")
def reset(visit: Visit) -> Response:
    """A new random password; the page shows it, once."""
    name = visit.path["name"]
    with visit.database() as connection:
        password = accounts.reset_password(connection, name, by=visit.user, reason=visit.reason())
    return _page(visit, made=name, password=password)


@route("POST", "/system/users/{name}/role", needs="users.change")
def change_role(visit: Visit) -> Response:
    """Another role, at once."""
    with visit.database() as connection:
        accounts.change_role(connection, visit.path["name"], visit.text("role"), by=visit.user, reason=visit.reason())
    return visit.to("/system/users")


@route("POST", "/system/users/{name}/state", needs="users.change")
def set_state(visit: Visit) -> Response:
    """Keep a user from logging in, or allow it again."""
    wanted = visit.text("state")
    if wanted not in (DISABLE, ENABLE):
        raise UserError(f"{wanted or 'nothing'} is neither {DISABLE} nor {ENABLE}")
    with visit.database() as connection:
        accounts.set_disabled(connection, visit.path["name"], wanted == DISABLE, by=visit.user, reason=visit.reason())
    return visit.to("/system/users")


def _page(visit: Visit, made: str = "", password: str = "") -> Response:
    with visit.database() as connection:
        found = accounts.users(connection)
    table = [(action, [may(role, action) for role in ROLES]) for action in PERMISSIONS]
    return visit.page("people.html", users=found, roles=ROLES, table=table, made=made, password=password)
