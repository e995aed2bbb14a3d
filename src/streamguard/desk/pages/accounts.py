"""Accounts, merchants and devices: who they are, what they do, and what is known against them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.alerts import accounts as known
from streamguard.alerts.accounts import ACCOUNT, DEVICE, MERCHANT, RiskProfile
from streamguard.config import UserError
from streamguard.desk.pages.queue import page_of
from streamguard.desk.reveal import forms_said, reveal
from streamguard.desk.site import NotFound, Visit, route
from streamguard.privacy.mode import stored_modes


@route("GET", "/accounts", needs="accounts.read")
def accounts(visit: Visit) -> Response:
    """Accounts found by the beginning of their id; without one those with the worst open alerts."""
    wanted = visit.query.get("q", "").strip()[:255].replace("\x00", "")
    found: list[str] = []
    if wanted:
        with visit.database() as connection:
            found = known.begin_with(connection, ACCOUNT, wanted, most=51)
    worst = visit.desk.cache.get("accounts with open alerts", known.accounts_with_open_alerts, for_s=5)
    template = "account_rows.html" if visit.is_fragment else "accounts.html"
    return visit.page(template, wanted=wanted, found=found, worst=worst)


@route("POST", "/account/reveal", needs="personal_data.reveal")
def reveal_account(visit: Visit) -> Response:
    """The page of an account with its devices, for this answer only."""
    account_id = visit.text("account_id")
    if not account_id:
        raise UserError("which account is missing")
    with visit.database() as connection:
        reveal(visit, connection, f"account {account_id}")
        return _account(visit, connection, account_id)


@route("GET", "/accounts/{account_id:path}", needs="accounts.read")
def account(visit: Visit) -> Response:
    """One account."""
    with visit.database() as connection:
        return _account(visit, connection, visit.path["account_id"])


def _account(visit: Visit, connection: Connection, account_id: str) -> Response:
    values = _profile(visit, connection, ACCOUNT, account_id)
    profile = _risk(visit, connection, account_id)
    if profile is None and not values["alerts"] and not values["listings"]:
        raise NotFound(f"nothing is known of an account {account_id}: no transaction, no alert, no list entry")
    return visit.page(
        "account.html",
        **values,
        profile=profile,
        stored_as=forms_said(stored_modes(connection)),
        amounts=known.amounts_of_account(connection, account_id),
        devices=known.used(connection, ACCOUNT, account_id, DEVICE),
        merchants=known.used(connection, ACCOUNT, account_id, MERCHANT),
        places=known.used(connection, ACCOUNT, account_id, "place"),
        currencies=known.used(connection, ACCOUNT, account_id, "currency"),
    )


@route("GET", "/merchants/{merchant_id:path}", needs="accounts.read")
def merchant(visit: Visit) -> Response:
    """One merchant."""
    return _of_many(visit, MERCHANT, visit.path["merchant_id"])


@route("GET", "/devices/{device_id:path}", needs="personal_data.read")
def device(visit: Visit) -> Response:
    """One device."""
    return _of_many(visit, DEVICE, visit.path["device_id"])


def _risk(visit: Visit, connection: Connection, account_id: str) -> RiskProfile | None:
    """The profile; of an account with very many transactions, which takes longer, one that may be a minute old."""
    if known.count_transactions(connection, ACCOUNT, account_id) < known.MOST_COUNTED:
        return known.risk_profile(connection, account_id)
    return visit.desk.cache.get(f"risk of {account_id}", lambda c: known.risk_profile(c, account_id), for_s=60)


def _of_many(visit: Visit, kind: str, value: str) -> Response:
    """A merchant or device, which many accounts may use."""
    with visit.database() as connection:
        values = _profile(visit, connection, kind, value)
        if not values["count"] and not values["listings"]:
            raise NotFound(f"nothing is known of a {kind} {value}: no transaction, no list entry")
        return visit.page(
            "used_by_many.html",
            **values,
            newest=known.NEWEST,
            accounts=known.used(connection, kind, value, ACCOUNT),
            places=known.used(connection, kind, value, "place"),
            channels=known.used(connection, kind, value, "channel"),
        )


def _profile(visit: Visit, connection: Connection, kind: str, value: str) -> dict[str, Any]:
    """What the pages of accounts, merchants and devices share."""
    if "\x00" in value:
        raise NotFound(f"a {kind} has no such name")
    page, flagged = page_of(visit), bool(visit.query.get("flagged"))
    lines = known.transactions_of(connection, kind, value, page=page, flagged=flagged)
    return {
        "kind": kind,
        "value": value,
        "alerts": known.alerts_of(connection, kind, value),
        "listings": known.listings_of(connection, kind, value),
        "lines": lines[: known.PAGE],
        "more": len(lines) > known.PAGE,
        "page": page,
        "flagged": flagged,
        "count": known.count_transactions(connection, kind, value, flagged=flagged),
        "most": known.MOST_COUNTED,
        "topic": visit.desk.settings.transactions_topic,
    }
