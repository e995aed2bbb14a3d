"""The error of this package."""

from __future__ import annotations

from streamguard.config import UserError


class StackError(UserError):
    """The stack cannot be started, stopped or asked."""
