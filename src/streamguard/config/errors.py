"""The errors that people meet: one plain sentence each, and the exit code that goes with it."""

from __future__ import annotations


class UserError(Exception):
    """Something that a person can put right. `str()` of it is one sentence: what, where, what to do.

    The command line prints the sentence and ends with `exit_code`; every other exception keeps its traceback.
    """

    exit_code = 1


class SettingsError(UserError):
    """A setting that cannot be used; the sentence names the variable."""

    exit_code = 2
