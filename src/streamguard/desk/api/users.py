"""Users."""

from __future__ import annotations

from datetime import datetime

from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.users import accounts


class UserOut(Model):
    """Somebody who logs in; a disabled user stays, for the audit log."""

    user_name: str
    role: str
    must_change: bool
    created_at: datetime
    disabled_at: datetime | None


class UserPage(Model):
    """All users."""

    users: list[UserOut]


@endpoint("GET", "/users", needs="users.change", gives=UserPage)
def users(call: Call, given: Model) -> UserPage:
    """Who may log in, with which role."""
    with call.database() as connection:
        return UserPage(users=[UserOut.model_validate(user) for user in accounts.users(connection)])
