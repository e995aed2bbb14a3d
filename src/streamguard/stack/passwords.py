"""A password at random for a database that is about to be made."""

from __future__ import annotations

import os
import secrets

from streamguard.config import Settings, get_settings
from streamguard.config.password import PASSWORD_FILE, stored_password
from streamguard.stack.errors import StackError
from streamguard.stack.postgres import has_password


def keep(settings: Settings) -> Settings:
    """The settings with the password that the embedded database has, or will have: one that was given, the stored one, or for
    a new database one at random, which is stored. Call it under the lock of a start. Raises StackError.

    A database without a stored password was made by an earlier version, and keeps its default; where it had another one since,
    the file was removed, and the next start gives it a new password.
    """
    if not settings.has_default_password:
        return settings
    state = settings.state_path
    password = stored_password(state)
    if password is None:
        database = state / "postgres"
        if database.exists() and has_password(database, settings) is not False:
            return settings
        password = secrets.token_urlsafe(24)
        file = state / PASSWORD_FILE
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
                opened.write(password + "\n")
                opened.flush()
                os.fsync(opened.fileno())
        except OSError as error:
            raise StackError(f"{file} cannot be written: {error.strerror}") from None
    get_settings.cache_clear()
    return settings.with_password(password)
