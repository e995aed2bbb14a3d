"""Users: made, changed and disabled, each change with its line in the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as
from streamguard.users import audit
from streamguard.users.passwords import LONGEST, SHORTEST, hash_password, matches, random_password
from streamguard.users.roles import ADMIN, ROLES

FIRST_ADMIN = "admin"


class UserProblem(UserError):
    """What was asked for users cannot be done; the sentence says why."""


@dataclass(frozen=True)
class User:
    """Somebody who logs in. A disabled user stays, for the audit log."""

    user_name: str
    role: str
    must_change: bool
    created_at: datetime
    disabled_at: datetime | None


def first_admin(connection: Connection) -> str | None:
    """Make the user `admin` where there are no users at all; returns its password, to be shown once, else None."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.FIRST_USER})
    if connection.execute(text("SELECT EXISTS (SELECT FROM users)")).scalar():
        return None
    return add_user(connection, FIRST_ADMIN, ADMIN, by="streamguard")


def add_user(connection: Connection, name: str, role: str, *, by: str) -> str:
    """Make a user with a random password that must be changed; returns it. Raises UserProblem."""
    _check_role(role)
    password = random_password()
    made = connection.execute(
        text(
            "INSERT INTO users (user_name, role, password_hash, must_change, created_by)"
            " SELECT :name, :role, :hash, TRUE, :by WHERE :name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'"
            " ON CONFLICT DO NOTHING"
        ),
        {"name": name, "role": role, "hash": hash_password(password), "by": by},
    ).rowcount
    if not made:
        if find_user(connection, name):
            raise UserProblem(f"there is a user {name} already, perhaps disabled: `streamguard users list` shows all")
        raise UserProblem(
            f"{name!r} is no user name: lower-case letters, digits, dot, hyphen and underscore, at most 64"
        )
    audit.note(connection, by, "users.add", f"user {name}", after={"role": role})
    return password


def users(connection: Connection) -> list[User]:
    """All users by name."""
    return select_as(connection, User, text(f"SELECT {columns_of(User)} FROM users ORDER BY user_name"))


def find_user(connection: Connection, name: str) -> User | None:
    """The user of this name, disabled or not."""
    statement = text(f"SELECT {columns_of(User)} FROM users WHERE user_name = :name")
    found = select_as(connection, User, statement, {"name": name})
    return found[0] if found else None


def check_password(connection: Connection, name: str, password: str) -> User | None:
    """The user, if the password is right and the user is not disabled; an unknown name takes as long."""
    row = connection.execute(
        text("SELECT password_hash FROM users WHERE user_name = :name AND disabled_at IS NULL"), {"name": name}
    ).first()
    right = matches(row.password_hash if row else None, password[: LONGEST + 1])
    return find_user(connection, name) if right else None


def change_password(connection: Connection, name: str, old: str, new: str) -> None:
    """Replace one's own password; every other login of the user ends. Raises UserProblem."""
    if check_password(connection, name, old) is None:
        raise UserProblem("the present password is not right")
    if not SHORTEST <= len(new) <= LONGEST:
        raise UserProblem(f"a password has {SHORTEST} to {LONGEST} characters")
    if new == old or name in new.lower():
        raise UserProblem("the new password must differ from the present one and must not hold the user name")
    _set_password(connection, name, new, must_change=False)
    audit.note(connection, name, "users.password", f"user {name}")


def reset_password(connection: Connection, name: str, *, by: str, reason: str) -> str:
    """A new random password that must be changed; every login of the user ends. Raises UserProblem."""
    _known(connection, name)
    password = random_password()
    _set_password(connection, name, password, must_change=True)
    audit.note(connection, by, "users.reset", f"user {name}", reason=reason)
    return password


def change_role(connection: Connection, name: str, role: str, *, by: str, reason: str) -> None:
    """Give a user another role. Raises UserProblem, also where no admin would be left."""
    _check_role(role)
    user = _known(connection, name)
    connection.execute(text("UPDATE users SET role = :role WHERE user_name = :name"), {"role": role, "name": name})
    _check_admins(connection)
    audit.note(
        connection, by, "users.role", f"user {name}", reason=reason, before={"role": user.role}, after={"role": role}
    )


def set_disabled(connection: Connection, name: str, disabled: bool, *, by: str, reason: str) -> None:
    """Keep a user from logging in, at once, or allow it again. Raises UserProblem, also where no admin would be left."""
    _known(connection, name)
    connection.execute(
        text("UPDATE users SET disabled_at = CASE WHEN :disabled THEN clock_timestamp() END WHERE user_name = :name"),
        {"disabled": disabled, "name": name},
    )
    connection.execute(text("DELETE FROM desk_sessions WHERE user_name = :name"), {"name": name})
    _check_admins(connection)
    audit.note(connection, by, "users.disable" if disabled else "users.enable", f"user {name}", reason=reason)


def _set_password(connection: Connection, name: str, password: str, *, must_change: bool) -> None:
    connection.execute(
        text(
            "UPDATE users SET password_hash = :hash, must_change = :must_change, password_set_at = clock_timestamp()"
            " WHERE user_name = :name"
        ),
        {"hash": hash_password(password), "must_change": must_change, "name": name},
    )
    connection.execute(text("DELETE FROM desk_sessions WHERE user_name = :name"), {"name": name})


def _known(connection: Connection, name: str) -> User:
    user = find_user(connection, name)
    if user is None:
        raise UserProblem(f"there is no user {name}: `streamguard users list` shows all")
    return user


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UserProblem(f"{role!r} is no role: {', '.join(ROLES)}")


def _check_admins(connection: Connection) -> None:
    # Locked, so that two admins cannot take the role from each other at the same moment.
    left = connection.execute(
        text("SELECT user_name FROM users WHERE role = 'admin' AND disabled_at IS NULL FOR UPDATE")
    ).first()
    if left is None:
        raise UserProblem("no admin would be left: make another user an admin first")
