"""Figures, accounts and the audit log."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import Field

from streamguard.alerts.context import account_summary
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.site import NotFound
from streamguard.users import audit


class PartOut(Model):
    """A part of the stack: up, slow or down."""

    name: str
    state: str
    says: str
    since: float


class FiguresOut(Model):
    """The newest figures; latencies are milliseconds from event to decision."""

    transactions_per_s: float
    alerts_per_min: int
    open_alerts: int
    oldest_open_s: float | None
    flagged_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    lag: int | None
    parts: list[PartOut]


class AccountOut(Model):
    """An account in one line."""

    account_id: str
    transactions: int
    first_seen: datetime | None
    alerts: int
    confirmed: int
    dismissed: int


class AuditFilter(Model):
    """By whom, actions that begin so, subjects that contain a text; `before` is the number of an entry."""

    by: str | None = Field(None, max_length=64)
    action: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$")
    subject: str | None = Field(None, max_length=500, pattern=r"^[^\x00]*$")
    before: int | None = Field(None, ge=1, le=2**62)
    limit: int = Field(100, ge=1, le=1_000)


class AuditOut(Model):
    """What somebody did."""

    entry_no: int
    done_at: datetime
    done_by: str
    action: str
    subject: str
    reason: str | None
    value_before: dict[str, Any] | None
    value_after: dict[str, Any] | None


class AuditPage(Model):
    """Entries, the newest first; `next_before` goes on."""

    entries: list[AuditOut]
    next_before: int | None


@endpoint("GET", "/figures", needs="alerts.read", gives=FiguresOut)
def figures(call: Call, given: Model) -> FiguresOut:
    """What happens at this moment."""
    return FiguresOut.model_validate(asdict(call.desk.pulse.figures))


@endpoint("GET", "/accounts/{account_id:path}", needs="accounts.read", gives=AccountOut)
def account(call: Call, given: Model) -> AccountOut:
    """An account: how many transactions and alerts it has."""
    account_id = call.path["account_id"].replace("\x00", "")
    with call.database() as connection:
        found = account_summary(connection, account_id)
    if not found.transactions and not found.alerts:
        raise NotFound(f"there is no account {account_id[:80]}")
    return AccountOut.model_validate(found)


@endpoint("GET", "/audit", needs="audit.read", takes=AuditFilter, gives=AuditPage)
def audit_log(call: Call, given: AuditFilter) -> AuditPage:
    """What people did at the desk and by the API."""
    with call.database() as connection:
        rows = audit.find(
            connection,
            done_by=given.by,
            action=given.action,
            subject=given.subject,
            before_no=given.before,
            limit=given.limit + 1,
        )
    shown = [AuditOut.model_validate(row) for row in rows[: given.limit]]
    return AuditPage(entries=shown, next_before=shown[-1].entry_no if len(rows) > given.limit else None)
