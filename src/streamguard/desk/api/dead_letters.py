"""Dead letters, and sending them again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from streamguard.config import UserError
from streamguard.dead_letters.find import Filter, Letter, alerts_of, body_of, counts, matching, newest, place_of
from streamguard.desk import shown
from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.brokers import asks_kafka
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.pages.dead_letters import PAGE, filter_of, send
from streamguard.desk.reveal import note_opened
from streamguard.desk.site import NotFound
from streamguard.privacy.mode import protection_of

Words = Field("", max_length=500, pattern=r"^[^\x00]*$")


class LetterFilter(Model):
    """Which: `plain` is a reason as it is counted, `contains` a part of one; `since` a time in UTC, or so long ago (`2h`)."""

    plain: str = Words
    contains: str = Words
    topic: str = Words
    since: str = Field("", max_length=40, pattern=r"^[^\x00]*$")
    state: Literal["waiting", "again", "all"] = "waiting"
    page: int = Field(1, ge=1, le=100_000)


class RetryIn(Model):
    """Which ones are sent again: places as `topic/partition/offset`, or without them those that fit the filter.

    Those that were sent before only with `again`.
    """

    places: list[str] = Field([], max_length=1_000)
    plain: str = Words
    contains: str = Words
    topic: str = Words
    since: str = Field("", max_length=40, pattern=r"^[^\x00]*$")
    again: bool = False
    reason: str = WHY


class LetterReasonOut(Model):
    """How many have a reason, without what it quotes."""

    reason: str
    letters: int


class LetterOut(Model):
    """A dead letter. `retried_*` say when it was sent again, by whom, and where it is now."""

    topic: str
    partition: int
    offset: int
    reason: str
    failed_at: datetime
    transaction_id: str | None
    retried_at: datetime | None
    retried_by: str | None
    retried_partition: int | None
    retried_offset: int | None


class LetterPage(Model):
    """A page of them, the newest first, and the counts by reason."""

    letters: list[LetterOut]
    reasons: list[LetterReasonOut]
    next_page: int | None


class LetterAlertOut(Model):
    """An alert on its transaction; perhaps refused because of it."""

    alert_id: str
    outcome: str | None
    refused_by_it: bool


class LetterWhole(Model):
    """A dead letter with its bytes: text, or in hexadecimal what is no UTF-8; both are null for what is not kept."""

    letter: LetterOut
    key: str | None = None
    key_hex: str | None = None
    value: str | None = None
    value_hex: str | None = None
    alerts: list[LetterAlertOut]


class SentOut(Model):
    """What came of one: the record that it is now, or why it was not sent."""

    place: str
    record: str | None
    problem: str | None


class RetryOut(Model):
    """What came of each, a thousand at most; `left` fit as well and were not sent."""

    sent: list[SentOut]
    left: int


@endpoint("GET", "/dead-letters", needs="topics.read", takes=LetterFilter, gives=LetterPage)
def letters(call: Call, given: LetterFilter) -> LetterPage:
    """Records that could not be used, with the reason."""
    wanted = filter_of({name: str(value) for name, value in given.model_dump().items()})
    with call.database() as connection:
        reasons = counts(connection, wanted)
        found = newest(connection, wanted, PAGE + 1, (given.page - 1) * PAGE)
    return LetterPage(
        letters=[_letter(letter) for letter in found[:PAGE]],
        reasons=[LetterReasonOut.model_validate(reason) for reason in reasons],
        next_page=given.page + 1 if len(found) > PAGE else None,
    )


@endpoint("GET", "/dead-letters/{place:path}", needs="topics.read", gives=LetterWhole)
def letter(call: Call, given: Model) -> LetterWhole:
    """One, by its place `topic/partition/offset`, with its bytes and the alerts on its transaction."""
    try:
        place = place_of(call.path["place"].replace("\x00", ""))
        with call.database() as connection:
            [found] = matching(connection, Filter(place=place))
            body, alerts = body_of(connection, place), alerts_of(connection, found)
            protected = protection_of(connection, call.desk.settings).active
            note_opened(connection, call.user, f"dead letter {place}", {"protected": protected})
    except (UserError, ValueError) as error:
        raise NotFound(str(error)) from None
    parts: dict[str, Any] = {}
    for name, data in (("key", body.key), ("value", body.value)):
        parts |= shown.as_field(name, None if data is None else bytes(data))
    return LetterWhole(
        letter=_letter(found), alerts=[LetterAlertOut.model_validate(alert) for alert in alerts], **parts
    )


@endpoint("POST", "/dead-letters/retry", needs="topics.change", takes=RetryIn, gives=RetryOut)
def retry(call: Call, given: RetryIn) -> RetryOut:
    """Send dead letters again, once the cause is mended."""
    places = [place_of(words.replace("\x00", "")) for words in given.places]
    fields = {name: str(getattr(given, name)) for name in ("plain", "contains", "topic", "since")}
    wanted = None if places else filter_of({**fields, "state": "all" if given.again else "waiting"})
    with asks_kafka(call):
        sent, left = send(call, places, wanted, again=given.again, reason=given.reason)
    found = [SentOut(place=str(s.place), record=str(s.record) if s.record else None, problem=s.problem) for s in sent]
    return RetryOut(sent=found, left=left)


def _letter(found: Letter) -> LetterOut:
    return LetterOut(**{name: getattr(found, name) for name in LetterOut.model_fields})
