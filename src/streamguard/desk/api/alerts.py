"""Alerts: listed, shown, decided, handled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from streamguard.alerts.actions import NoSuchAlert, resolve_alert, show_alert
from streamguard.alerts.context import evidence_of, personal_values
from streamguard.alerts.handling import assign, escalate, notes_of, snooze, write_note
from streamguard.alerts.queue import PAGE, QueueFilter, count_queue, list_queue, rows_of
from streamguard.alerts.reasons import Reason, why
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.render import rules_by_name
from streamguard.desk.reveal import hide
from streamguard.desk.site import NotFound
from streamguard.users import audit

WHY = Field(min_length=1, max_length=1_000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$", description="Why; it is kept.")


class AlertFilter(Model):
    """What is listed. An empty field does not limit; `score` and `amount` are least values."""

    status: Literal["open", "confirmed", "dismissed", "duplicate", "all"] = "open"
    rule: str = Field("", max_length=200)
    account: str = Field("", max_length=500)
    merchant: str = Field("", max_length=500)
    outcome: Literal["", "block", "review", "dismiss", "refused", "undecided"] = ""
    assignee: str = Field("", max_length=64, description="a user, or `nobody`")
    score: int | None = Field(None, ge=0, le=100)
    amount: str = Field("", pattern=r"^([0-9]{1,12}(\.[0-9]{1,4})?)?$")
    since: datetime | None = None
    until: datetime | None = None
    snoozed: bool = False
    escalated: bool = False
    order: Literal["score", "newest", "oldest", "amount"] = "score"
    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(PAGE, ge=1, le=1_000)


class AlertOut(Model):
    """An alert. Times are UTC; `changed_at` is its version: send it as `seen` with a decision."""

    alert_id: str
    rule: str
    account_id: str
    transaction_id: str | None
    amount: Decimal | None
    currency: str | None
    merchant_name: str | None
    tx_count: int
    detected_at: datetime
    created_at: datetime
    changed_at: datetime
    outcome: str | None
    score: int | None
    status: str
    duplicate_of: str | None
    mode: str
    assignee: str | None
    snoozed_until: datetime | None
    escalated_by: str | None
    escalated_at: datetime | None


class AlertPage(Model):
    """A page of alerts; `next_page` is null on the last. `count` is how many fit, counted up to 10,000."""

    alerts: list[AlertOut]
    count: int
    next_page: int | None


class ReasonOut(Model):
    """A rule's part of the score."""

    rule: str
    kind: str
    version: int | None
    mode: str
    points: int
    says: str
    facts: dict[str, Any]


class EvidenceOut(Model):
    """A transaction of an alert, with the place of its record."""

    transaction_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    merchant_id: str | None
    merchant_name: str | None
    city: str | None
    country: str | None
    channel: str | None
    source_partition: int
    source_offset: int


class DecisionOut(Model):
    """What the rules or an analyst decided."""

    tx_count: int
    decided_by: str
    outcome: str | None
    score: int | None
    reason: str | None
    decided_at: datetime | None


class NoteOut(Model):
    """A note."""

    note_no: int
    written_by: str
    written_at: datetime
    note: str


class AlertWhole(Model):
    """An alert with all that belongs to it."""

    alert: AlertOut
    reasons: list[ReasonOut]
    transactions: list[EvidenceOut]
    decisions: list[DecisionOut]
    notes: list[NoteOut]


class DecisionIn(Model):
    """A verdict; with `seen`, only on the alert as it was then. `duplicate_of` is the alert of its account that it repeats."""

    verdict: Literal["confirm", "dismiss", "duplicate", "reopen"]
    reason: str = WHY
    duplicate_of: str | None = Field(None, min_length=1, max_length=1_000)
    seen: datetime | None = None


class AssignmentIn(Model):
    """Whom the alert is given to; null for nobody."""

    assignee: str | None = Field(None, max_length=64)


class SnoozeIn(Model):
    """For how long; 0 takes it back."""

    minutes: int = Field(ge=0, le=30 * 24 * 60)
    reason: str = WHY


class EscalationIn(Model):
    """Why a lead is asked."""

    reason: str = WHY


class NoteIn(Model):
    """What to write."""

    note: str = Field(min_length=1, max_length=4_000, pattern=r"\S")


STATUS = {"confirm": "confirmed", "dismiss": "dismissed", "duplicate": "duplicate", "reopen": "open"}


@endpoint("GET", "/alerts", needs="alerts.read", takes=AlertFilter, gives=AlertPage)
def alerts(call: Call, given: AlertFilter) -> AlertPage:
    """The queue: alerts that fit, page by page."""
    shown = given.model_dump(exclude={"page", "size", "snoozed", "escalated"}, exclude_none=True)
    switches = {name: "1" for name in ("snoozed", "escalated") if getattr(given, name)}
    wanted = QueueFilter.of({name: _text(value) for name, value in shown.items()} | switches)
    with call.database() as connection:
        rows = list_queue(connection, wanted, page=given.page, size=given.size)
        count = count_queue(connection, wanted)
    more = len(rows) > given.size
    found = [AlertOut.model_validate(row) for row in rows[: given.size]]
    return AlertPage(alerts=found, count=count, next_page=given.page + 1 if more else None)


@endpoint("GET", "/alerts/{alert_id:path}", needs="alerts.read", gives=AlertWhole)
def alert(call: Call, given: Model) -> AlertWhole:
    """One alert: why, its transactions, what was decided."""
    alert_id = call.path["alert_id"]
    with call.database() as connection:
        rows = rows_of(connection, [alert_id])
        if not rows:
            raise NotFound(f"there is no alert {alert_id}")
        file = show_alert(connection, alert_id)
        secret = [] if call.may("personal_data.read") else personal_values(connection, alert_id)
        return AlertWhole(
            alert=AlertOut.model_validate(rows[0]),
            reasons=[_reason(found, secret) for found in why(file.line, file.decisions, rules_by_name()).reasons],
            transactions=[
                EvidenceOut(**{name: getattr(t, name) for name in EvidenceOut.model_fields})
                for t in evidence_of(connection, alert_id)
            ],
            decisions=[
                DecisionOut(
                    **{name: getattr(d, name) for name in DecisionOut.model_fields if name != "reason"},
                    reason=d.reason and hide(d.reason, secret),
                )
                for d in file.decisions
            ],
            notes=[NoteOut.model_validate(note) for note in notes_of(connection, alert_id)],
        )


@endpoint("POST", "/alerts/{alert_id:path}/decision", needs="alerts.decide", takes=DecisionIn, gives=AlertOut)
def decide(call: Call, given: DecisionIn) -> AlertOut:
    """Confirm, dismiss, name as a duplicate, or reopen."""
    alert_id, status = call.path["alert_id"], STATUS[given.verdict]
    with call.database() as connection:
        topic = call.desk.settings.decisions_topic
        before = _known(
            lambda: resolve_alert(
                connection,
                alert_id,
                status,
                who=call.user,
                why=given.reason,
                topic=topic,
                seen=given.seen,
                duplicate_of=given.duplicate_of,
            )
        )
        audit.note(
            connection,
            call.user,
            "alerts.decide",
            f"alert {alert_id}",
            reason=given.reason,
            before={"status": before},
            after={"status": status, "by": "api"} | ({"of": given.duplicate_of} if given.duplicate_of else {}),
        )
        return AlertOut.model_validate(rows_of(connection, [alert_id])[0])


@endpoint("POST", "/alerts/{alert_id:path}/assignment", needs="alerts.decide", takes=AssignmentIn, gives=AlertOut)
def assignment(call: Call, given: AssignmentIn) -> AlertOut:
    """Give the alert to somebody, or to nobody."""
    return _handled(call, lambda c, alert_id: assign(c, alert_id, given.assignee, who=call.user))


@endpoint("POST", "/alerts/{alert_id:path}/snooze", needs="alerts.decide", takes=SnoozeIn, gives=AlertOut)
def put_aside(call: Call, given: SnoozeIn) -> AlertOut:
    """Put the alert aside for some minutes."""
    return _handled(call, lambda c, alert_id: snooze(c, alert_id, given.minutes, who=call.user, why=given.reason))


@endpoint("POST", "/alerts/{alert_id:path}/escalation", needs="alerts.decide", takes=EscalationIn, gives=AlertOut)
def escalation(call: Call, given: EscalationIn) -> AlertOut:
    """Ask a lead."""
    return _handled(call, lambda c, alert_id: escalate(c, alert_id, who=call.user, why=given.reason))


@endpoint("POST", "/alerts/{alert_id:path}/notes", needs="alerts.decide", takes=NoteIn, gives=AlertOut)
def note(call: Call, given: NoteIn) -> AlertOut:
    """Write a note."""
    return _handled(call, lambda c, alert_id: write_note(c, alert_id, given.note, who=call.user))


def _handled(call: Call, work: Any) -> AlertOut:
    alert_id = call.path["alert_id"]
    with call.database() as connection:
        _known(lambda: work(connection, alert_id))
        return AlertOut.model_validate(rows_of(connection, [alert_id])[0])


def _known(work: Any) -> Any:
    """What `work` gives; an alert that is not there is answered with 404."""
    try:
        return work()
    except NoSuchAlert as error:
        raise NotFound(str(error)) from None


def _reason(found: Reason, secret: list[str]) -> ReasonOut:
    values = {name: getattr(found, name) for name in ReasonOut.model_fields}
    facts = {name: hide(fact, secret) if isinstance(fact, str) else fact for name, fact in found.facts.items()}
    return ReasonOut(**{**values, "says": hide(found.says, secret), "facts": facts})


def _text(value: Any) -> str:
    return (
        value.isoformat() if isinstance(value, datetime) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    )
