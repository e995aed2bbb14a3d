"""Blocklist and allowlist."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from kafka.errors import KafkaError
from pydantic import Field

from streamguard.alerts import blacklist_topic
from streamguard.alerts.list_changes import Record, put, take_off
from streamguard.alerts.list_entries import PAGE, count_entries, page_of_entries
from streamguard.alerts.lists import ALLOWLIST, BLACKLIST, Entry, Kind
from streamguard.config import UserError
from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.reveal import HIDDEN, PERSONAL
from streamguard.desk.site import NotFound
from streamguard.users import audit

Value = Field(min_length=1, max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")


class ListFilter(Model):
    """Which entries: of one kind, and those whose value contains a text."""

    kind: Kind | None = None
    contains: str = Field("", max_length=500, pattern=r"^[^\x00]*$")
    page: int = Field(1, ge=1, le=100_000)


class EntryOut(Model):
    """An entry; `expires_at` is null for one without an end. Devices and addresses are `hidden` from a viewer."""

    kind: str
    value: str
    reason: str
    expires_at: datetime | None


class EntryPage(Model):
    """A page of entries."""

    entries: list[EntryOut]
    count: int
    next_page: int | None


class EntryIn(Model):
    """What to list."""

    kind: Kind
    value: str = Value
    reason: str = WHY
    expires_at: datetime | None = None


class RemovalIn(Model):
    """What to take off."""

    kind: Kind
    value: str = Value
    reason: str = WHY


class ListChange(Model):
    """What was done."""

    list: Literal["blacklist", "allowlist"]
    kind: str
    value: str
    change: Literal["listed", "removed"]


@endpoint("GET", "/lists/{name}", needs="lists.read", takes=ListFilter, gives=EntryPage)
def entries(call: Call, given: ListFilter) -> EntryPage:
    """The entries of `blacklist` or `allowlist`."""
    name, kind = _name(call), given.kind.value if given.kind else ""
    with call.database() as connection:
        rows = page_of_entries(connection, name, kind=kind, part=given.contains, page=given.page)
        count = count_entries(connection, name, kind=kind, part=given.contains)
    found = [EntryOut(**{field: getattr(row, field) for field in EntryOut.model_fields}) for row in rows[:PAGE]]
    if not call.may("personal_data.read"):
        found = [entry.model_copy(update={"value": HIDDEN}) if entry.kind in PERSONAL else entry for entry in found]
    return EntryPage(entries=found, count=count, next_page=given.page + 1 if given.page * PAGE < count else None)


@endpoint("POST", "/lists/{name}", needs="lists.change", takes=EntryIn, gives=ListChange)
def add(call: Call, given: EntryIn) -> ListChange:
    """Put a value on the list, or change its reason and its end."""
    name, entry = _name(call), Entry(given.kind.value, given.value, given.reason, given.expires_at)
    with call.database() as connection:
        change = put(connection, call.desk.settings, name, entry, who=call.user)
        _note(call, connection, name, given, change.stored, "after")
    _publish(call, change.record)
    return ListChange(list=name, kind=given.kind.value, value=change.stored, change="listed")  # type: ignore[arg-type]


@endpoint("POST", "/lists/{name}/removal", needs="lists.change", takes=RemovalIn, gives=ListChange)
def remove(call: Call, given: RemovalIn) -> ListChange:
    """Take a value off the list."""
    name = _name(call)
    with call.database() as connection:
        change = take_off(
            connection, call.desk.settings, name, given.kind.value, given.value, who=call.user, reason=given.reason
        )
        if not change.found:
            raise NotFound(f"{given.kind.value} {given.value} is not on the {name}")
        _note(call, connection, name, given, change.stored, "before")
    _publish(call, change.record)
    return ListChange(list=name, kind=given.kind.value, value=change.stored, change="removed")  # type: ignore[arg-type]


def _name(call: Call) -> str:
    if call.path["name"] not in (BLACKLIST, ALLOWLIST):
        raise NotFound(f"there is no list {call.path['name'][:80]}: {BLACKLIST}, {ALLOWLIST}")
    return call.path["name"]


def _note(call: Call, connection: object, name: str, given: EntryIn | RemovalIn, stored: str, side: str) -> None:
    values = {side: {"list": name, "by": "api"}}
    audit.note(connection, call.user, "lists.change", f"{given.kind.value} {stored}", reason=given.reason, **values)  # type: ignore[arg-type]


def _publish(call: Call, record: Record | None) -> None:
    if record is None:
        return
    try:
        blacklist_topic.publish(call.desk.settings, [record])
    except KafkaError as error:
        raise UserError(
            f"the list has it, the topic blacklist does not ({type(error).__name__}): `streamguard blacklist sync` writes"
            " it when Kafka is back"
        ) from None
