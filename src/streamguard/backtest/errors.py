"""The error of a back-test that cannot be run, repeated or shown."""

from __future__ import annotations

from streamguard.config import UserError


class BacktestError(UserError):
    """One sentence: what, where, what to do."""
