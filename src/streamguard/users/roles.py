"""Who may do what: the one table of permissions."""

from __future__ import annotations

from types import MappingProxyType

VIEWER, ANALYST, LEAD, ADMIN = "viewer", "analyst", "lead", "admin"
ROLES = (VIEWER, ANALYST, LEAD, ADMIN)
"""From the least to the most; a role may do what those before it may."""

PERMISSIONS = MappingProxyType(
    {
        "alerts.read": VIEWER,
        "alerts.decide": ANALYST,
        "accounts.read": VIEWER,
        "personal_data.read": ANALYST,
        "personal_data.reveal": VIEWER,
        "analytics.read": VIEWER,
        "lists.read": VIEWER,
        "lists.change": ANALYST,
        "rules.read": VIEWER,
        "rules.change": LEAD,
        "topics.read": ANALYST,
        "topics.change": ADMIN,
        "sql.read": ANALYST,
        "sql.change": LEAD,
        "system.read": VIEWER,
        "audit.read": LEAD,
        "users.change": ADMIN,
        "webhooks.change": ADMIN,
        "self.change": VIEWER,
    }
)
"""An action and the least role that may do it."""


def may(role: str, action: str) -> bool:
    """Whether a role may do an action. Raises KeyError for an action that is not in the table."""
    return ROLES.index(role) >= ROLES.index(PERMISSIONS[action])
