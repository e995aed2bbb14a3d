"""Webhooks: add, change, test, pause, rotate the secret, remove; deliveries."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.site import NotFound
from streamguard.webhooks import deliveries, hooks
from streamguard.webhooks.deliveries import Delivery, NoSuchDelivery
from streamguard.webhooks.hooks import LONGEST_URL, Hook, NoSuchHook, Outcome, Wanted
from streamguard.webhooks.sender import Sender

MANAGE = "webhooks.change"
TEXT = r"^[^\x00]*$"


class HookIn(Model):
    """Where decisions are posted to: https, or http on this machine. Empty `outcomes` and `rules` are all."""

    url: str = Field(min_length=1, max_length=LONGEST_URL, pattern=TEXT)
    description: str = Field("", max_length=200, pattern=TEXT)
    outcomes: list[Outcome] = Field([], max_length=20)
    rules: list[str] = Field([], max_length=100)

    def wanted(self) -> Wanted:
        """As the page sends it."""
        rules = tuple(rule.replace("\x00", "") for rule in self.rules)
        return Wanted(self.url.strip(), self.description, tuple(self.outcomes), rules)


class HookChange(HookIn):
    """All fields of the webhook from now on, and why."""

    reason: str = WHY


class HookOut(Model):
    """A webhook. `failures` are failed attempts in a row, since `failing_since`; deliveries are counted up to 10,000."""

    hook_no: int
    url: str
    description: str
    outcomes: list[str]
    rules: list[str]
    is_on: bool
    off_reason: str | None
    created_by: str
    created_at: datetime
    rotated_at: datetime | None
    failures: int
    failing_since: datetime | None
    held_until: datetime | None
    last_error: str | None
    waiting: int
    delivered: int
    given_up: int


class HookPage(Model):
    """All webhooks."""

    webhooks: list[HookOut]


class HookSecret(Model):
    """A webhook with its new secret, which is not shown again."""

    webhook: HookOut
    secret: str


class StateIn(Model):
    """Whether it sends; while it is paused, decisions wait."""

    state: Literal["on", "paused"]
    reason: str = WHY


class ReasonIn(Model):
    """Why."""

    reason: str = WHY


class Removed(Model):
    """The webhook that was removed."""

    hook_no: int


class TestOut(Model):
    """What came of a test: the HTTP status, null where there was no answer; `error` is empty where it was delivered."""

    status: int | None
    error: str
    took_ms: int


class DeliveryFilter(Model):
    """Of one status; `before` is the number of a delivery."""

    status: Literal["waiting", "delivered", "given_up"] | None = None
    before: int | None = Field(None, ge=1, le=2**62)
    limit: int = Field(100, ge=1, le=1_000)


class DeliveryOut(Model):
    """A delivery; `topic`, `partition` and `offset` are null for a test."""

    delivery_no: int
    message_id: str
    topic: str | None
    partition: int | None
    offset: int | None
    status: str
    attempts: int
    created_at: datetime
    next_at: datetime
    last_at: datetime | None
    last_ms: int | None
    last_status: int | None
    last_error: str | None


class DeliveryPage(Model):
    """Deliveries, the newest first; `next_before` goes on."""

    deliveries: list[DeliveryOut]
    next_before: int | None


class AgainIn(Model):
    """The delivery to send again; null for all that was given up."""

    delivery_no: int | None = Field(None, ge=1, le=2**62)


class AgainOut(Model):
    """How many deliveries wait again."""

    deliveries: int


@endpoint("GET", "/webhooks", needs=MANAGE, gives=HookPage)
def webhooks(call: Call, given: Model) -> HookPage:
    """All webhooks."""
    with call.database() as connection:
        return HookPage(webhooks=[_out(connection, found) for found in hooks.hooks(connection)])


@endpoint("POST", "/webhooks", needs=MANAGE, takes=HookIn, gives=HookSecret)
def add(call: Call, given: HookIn) -> HookSecret:
    """Make a webhook; it gets what is decided from now on."""
    with call.database() as connection:
        number, secret = hooks.add_hook(connection, call.desk.settings, given.wanted(), by=call.user)
        return HookSecret(webhook=_out(connection, hooks.hook(connection, number)), secret=secret)


@endpoint("GET", "/webhooks/{number}", needs=MANAGE, gives=HookOut)
def webhook(call: Call, given: Model) -> HookOut:
    """One webhook."""
    with call.database() as connection:
        return _out(connection, _hook(call, connection))


@endpoint("POST", "/webhooks/{number}/change", needs=MANAGE, takes=HookChange, gives=HookOut)
def change(call: Call, given: HookChange) -> HookOut:
    """Another address, description or filter."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        hooks.change_hook(connection, number, given.wanted(), by=call.user, reason=given.reason)
        return _out(connection, hooks.hook(connection, number))


@endpoint("POST", "/webhooks/{number}/state", needs=MANAGE, takes=StateIn, gives=HookOut)
def switch(call: Call, given: StateIn) -> HookOut:
    """Pause or resume."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        hooks.switch_hook(connection, number, given.state == "on", by=call.user, reason=given.reason)
        return _out(connection, hooks.hook(connection, number))


@endpoint("POST", "/webhooks/{number}/secret", needs=MANAGE, takes=ReasonIn, gives=HookSecret)
def rotate(call: Call, given: ReasonIn) -> HookSecret:
    """A new secret; the old one signs as well for a day."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        secret = hooks.rotate_secret(connection, number, by=call.user, reason=given.reason)
        return HookSecret(webhook=_out(connection, hooks.hook(connection, number)), secret=secret)


@endpoint("POST", "/webhooks/{number}/removal", needs=MANAGE, takes=ReasonIn, gives=Removed)
def remove(call: Call, given: ReasonIn) -> Removed:
    """Remove a webhook with its deliveries."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        hooks.remove_hook(connection, number, by=call.user, reason=given.reason)
        return Removed(hook_no=number)


@endpoint("POST", "/webhooks/{number}/test", needs=MANAGE, gives=TestOut)
def test(call: Call, given: Model) -> TestOut:
    """Post a decision that is none, and wait for the answer."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
    result = Sender(call.desk.engine, threading.Event()).send_test(number, call.user)
    return TestOut(status=result.status, error=result.error, took_ms=result.took_ms)


@endpoint("GET", "/webhooks/{number}/deliveries", needs=MANAGE, takes=DeliveryFilter, gives=DeliveryPage)
def log(call: Call, given: DeliveryFilter) -> DeliveryPage:
    """The log of deliveries of a webhook."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        rows = deliveries.log_of(connection, number, status=given.status, before=given.before, limit=given.limit + 1)
    shown = [_delivery(row) for row in rows[: given.limit]]
    return DeliveryPage(deliveries=shown, next_before=shown[-1].delivery_no if len(rows) > given.limit else None)


@endpoint("POST", "/webhooks/{number}/deliveries/again", needs=MANAGE, takes=AgainIn, gives=AgainOut)
def again(call: Call, given: AgainIn) -> AgainOut:
    """Send a delivery again, or all that was given up."""
    with call.database() as connection:
        number = _hook(call, connection).hook_no
        if given.delivery_no is None:
            return AgainOut(deliveries=deliveries.send_given_up_again(connection, number, by=call.user))
        try:
            deliveries.send_again(connection, number, given.delivery_no, by=call.user)
        except NoSuchDelivery as error:
            raise NotFound(str(error)) from None
        return AgainOut(deliveries=1)


def _hook(call: Call, connection: Connection) -> Hook:
    number = call.number("number", "webhook")
    try:
        return hooks.hook(connection, number)
    except NoSuchHook as error:
        raise NotFound(str(error)) from None


def _out(connection: Connection, found: Hook) -> HookOut:
    counted = deliveries.counts(connection)[found.hook_no]
    numbers: dict[str, Any] = {name: getattr(counted, name) for name in ("waiting", "delivered", "given_up")}
    own: dict[str, Any] = {name: getattr(found, name) for name in HookOut.model_fields if name not in numbers}
    return HookOut(**own, **numbers)


def _delivery(row: Delivery) -> DeliveryOut:
    kept = {name: getattr(row, name) for name in DeliveryOut.model_fields if hasattr(row, name)}
    place = {"partition": row.partition_no, "offset": row.record_offset}
    return DeliveryOut(**{**kept, **place, "message_id": f"msg_{row.message_id.hex}"})
