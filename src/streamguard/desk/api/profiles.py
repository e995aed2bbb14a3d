"""Accounts, merchants and devices in profile, and the search."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import Field
from sqlalchemy import Connection

from streamguard.alerts import accounts as known
from streamguard.alerts.accounts import ACCOUNT, DEVICE, MERCHANT
from streamguard.desk.api.endpoint import Call, Model, Refused, endpoint
from streamguard.desk.pages.search import find
from streamguard.desk.site import NotFound

KINDS = {
    ACCOUNT: (DEVICE, MERCHANT, "place", "currency"),
    MERCHANT: (ACCOUNT, "place", "channel"),
    DEVICE: (ACCOUNT, "place", "channel"),
}
"""What is counted of each kind."""
Text = Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")


class SearchFilter(Model):
    """What the names begin with."""

    q: str = Text


class Hit(Model):
    """Something that was found; `kind` is account, transaction, merchant, device or alert."""

    kind: str
    name: str


class HitPage(Model):
    """What was found, at most a dozen of each kind."""

    hits: list[Hit]


class BeginFilter(Model):
    """What the ids begin with."""

    begins: str = Text
    most: int = Field(50, ge=1, le=1_000)


class NamePage(Model):
    """Ids, in their order."""

    names: list[str]


class ProfileFilter(Model):
    """Which of the transactions are listed."""

    flagged: bool = False
    page: int = Field(1, ge=1, le=100_000)


class RiskOut(Model):
    """An account's transactions in figures; amounts are summed whatever their currency, `fraud_rate` is 0 to 1."""

    transactions: int
    total_amount: Decimal
    average_amount: Decimal
    highest_amount: Decimal
    fraud_transactions: int
    fraud_rate: Decimal
    alerts: int
    first_seen: datetime
    last_seen: datetime


class UsedOut(Model):
    """What it is used with among the newest transactions."""

    what: str
    value: str
    label: str | None
    transactions: int
    flagged: int
    last_seen: datetime


class LineOut(Model):
    """A transaction with the place of its record; `device_id` is null for roles that may not see it."""

    transaction_id: str
    account_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    merchant_id: str | None
    merchant_name: str | None
    city: str | None
    country: str | None
    device_id: str | None
    channel: str | None
    is_fraud: bool
    source_partition: int
    source_offset: int


class AlertLineOut(Model):
    """An alert in a line."""

    alert_id: str
    rule: str
    account_id: str
    detected_at: datetime
    score: int | None
    outcome: str | None
    status: str
    amount: Decimal | None
    tx_count: int


class ListingOut(Model):
    """An entry of a list that names it."""

    list: str
    kind: str
    value: str
    reason: str
    expires_at: datetime | None


class ProfileOut(Model):
    """An account, merchant or device. `transactions` are counted up to 10,000; `risk` is there for accounts."""

    kind: str
    value: str
    transactions: int
    risk: RiskOut | None
    used: list[UsedOut]
    alerts: list[AlertLineOut]
    listings: list[ListingOut]
    lines: list[LineOut]
    next_page: int | None


@endpoint("GET", "/search", needs="accounts.read", takes=SearchFilter, gives=HitPage)
def search(call: Call, given: SearchFilter) -> HitPage:
    """Accounts, transactions, merchants, devices and alerts whose names begin so."""
    with call.database() as connection:
        hits = find(connection, given.q.strip(), devices=call.may("personal_data.read")) if given.q.strip() else []
    return HitPage(hits=[Hit(kind=kind, name=name) for kind, name, _ in hits])


@endpoint("GET", "/profiles/{kind}", needs="accounts.read", takes=BeginFilter, gives=NamePage)
def names(call: Call, given: BeginFilter) -> NamePage:
    """Accounts, merchants or devices (`kind`: account, merchant, device) whose ids begin so."""
    kind = _kind(call)
    with call.database() as connection:
        return NamePage(names=known.begin_with(connection, kind, given.begins, most=given.most))


@endpoint("GET", "/profiles/{kind}/{value:path}", needs="accounts.read", takes=ProfileFilter, gives=ProfileOut)
def profile(call: Call, given: ProfileFilter) -> ProfileOut:
    """One account, merchant or device: figures, what it uses, alerts, list entries, transactions page by page."""
    kind, value = _kind(call), call.path["value"].replace("\x00", "")
    with call.database() as connection:
        count = known.count_transactions(connection, kind, value)
        alerts, listings = known.alerts_of(connection, kind, value), known.listings_of(connection, kind, value)
        if not (count or alerts or listings):
            raise NotFound(f"nothing is known of {kind} {value[:80]}: no transaction, no alert, no list entry")
        lines = known.transactions_of(connection, kind, value, page=given.page, flagged=given.flagged)
        shown = [LineOut.model_validate(line) for line in lines[: known.PAGE]]
        if not call.may("personal_data.read"):
            shown = [line.model_copy(update={"device_id": None}) for line in shown]
        return ProfileOut(
            kind=kind,
            value=value,
            transactions=count,
            risk=_risk(connection, kind, value),
            used=_used(call, connection, kind, value),
            alerts=[AlertLineOut.model_validate(alert) for alert in alerts],
            listings=[ListingOut.model_validate(entry) for entry in listings],
            lines=shown,
            next_page=given.page + 1 if len(lines) > known.PAGE else None,
        )


def _kind(call: Call) -> str:
    kind = call.path["kind"]
    if kind not in KINDS:
        raise NotFound(f"there is no kind {kind[:80]}: {', '.join(KINDS)}")
    if kind == DEVICE and not call.may("personal_data.read"):
        raise Refused(403, f"The role {call.bearer.role} may not do this (personal_data.read).")
    return kind


def _risk(connection: Connection, kind: str, value: str) -> RiskOut | None:
    found = known.risk_profile(connection, value) if kind == ACCOUNT else None
    return None if found is None else RiskOut(**{name: getattr(found, name) for name in RiskOut.model_fields})


def _used(call: Call, connection: Connection, kind: str, value: str) -> list[UsedOut]:
    kinds = [what for what in KINDS[kind] if what != DEVICE or call.may("personal_data.read")]
    return [
        UsedOut(what=what, **{name: getattr(used, name) for name in UsedOut.model_fields if name != "what"})
        for what in kinds
        for used in known.used(connection, kind, value, what)
    ]
