"""Personal data at the desk: hidden from roles that may not see it, shown on request, with a row in the audit log."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from streamguard.alerts.lists import Kind
from streamguard.users import audit

if TYPE_CHECKING:
    from streamguard.desk.site import Visit

HIDDEN = "hidden"
PERSONAL = (Kind.device.value, Kind.ip.value)
"""Kinds of list entries whose values are personal data."""
ACTION = "personal_data.reveal"
OPENED = "personal_data.opened"
"""What somebody whose role sees records in clear has opened."""
SAME_LOOK_S = 600.0


class Looks:
    """Which looks at a topic are in the audit log already: a list that is followed live is one look, not one a second."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def is_new(self, *look: str) -> bool:
        """Whether it was not noted in the last ten minutes; it is from now on."""
        now = time.monotonic()
        with self._lock:
            self._noted = {known: at for known, at in self._noted.items() if now - at < SAME_LOOK_S}
            return self._noted.setdefault(look, now) == now


def reveal(visit: Visit, connection: Connection, subject: str) -> None:
    """Show personal data in the answer to this visit, once the audit log has who, what and why. Raises UserError without a
    reason."""
    audit.note(connection, visit.user, ACTION, subject, reason=visit.reason())
    visit.is_revealed = True


def note_opened(connection: Connection, user: str, subject: str, what: Mapping[str, Any] | None = None) -> None:
    """The row of records that were opened as they are in their topic, where nothing is hidden or replaced."""
    audit.note(connection, user, OPENED, subject, after=what)


def hide(text: str, values: Iterable[str]) -> str:
    """A text without these values, where they stand as words of their own; the longest first."""
    for value in sorted(filter(None, values), key=len, reverse=True):
        text = re.sub(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", HIDDEN, text)
    return text


def forms_said(modes: Mapping[str, str]) -> str:
    """How devices and addresses are stored, where that is not in clear; empty where it is."""
    kinds = {"device": "devices", "ip": "addresses"}
    said = [f"{name} as {modes[kind]}s" for kind, name in kinds.items() if modes.get(kind, "keep") != "keep"]
    return " and ".join(said)
