"""Dead letters: records that could not be used, with the reason; sent again once the cause is mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.dead_letters.find import (
    BadTime,
    Filter,
    Letter,
    Place,
    alerts_of,
    body_of,
    counts,
    matching,
    newest,
    place_of,
    time_of,
)
from streamguard.dead_letters.retry import Sent
from streamguard.dead_letters.retry import retry as send_again
from streamguard.desk import shown
from streamguard.desk.brokers import reads_kafka
from streamguard.desk.pages.queue import page_of
from streamguard.desk.reveal import note_opened
from streamguard.desk.site import Asker, NotFound, Visit, route
from streamguard.privacy.mode import protection_of
from streamguard.users import audit

PAGE = 50
AT_ONCE = 1_000
"""Dead letters that one request sends; the page says how many are left."""
STATES = {"waiting": False, "again": True, "all": None}


@route("GET", "/dead-letters", needs="topics.read")
def dead_letters(visit: Visit) -> Response:
    """Counts by reason and the newest first. `plain` is a reason as it is counted, `reason` a part of one."""
    wanted, page, fields = filter_of(visit.query), page_of(visit), _fields(visit.query)
    with visit.database() as connection:
        reasons = counts(connection, wanted)
        letters = newest(connection, wanted, PAGE + 1, (page - 1) * PAGE)
        values: dict[str, Any] = {
            "letters": letters[:PAGE],
            "more": len(letters) > PAGE,
            "page": page,
            "reasons": reasons,
            "count": sum(found.letters for found in reasons),
            "fields": fields,
            "states": STATES,
            "at_once": AT_ONCE,
            "results": [],
        }
    return visit.page("dead_letters.html", **values)


@route("GET", "/dead-letters/{place:path}", needs="topics.read")
def dead_letter(visit: Visit) -> Response:
    """One, with its bytes and the alerts on its transaction."""
    try:
        place = place_of(visit.path["place"])
        with visit.database() as connection:
            [letter] = matching(connection, Filter(place=place))
            body = body_of(connection, place)
            alerts = alerts_of(connection, letter)
            protected = protection_of(connection, visit.desk.settings).active
            note_opened(connection, visit.user, f"dead letter {letter.place}", {"protected": protected})
    except (UserError, ValueError) as error:
        raise NotFound(str(error)) from None
    key, value = (None if part is None else bytes(part) for part in (body.key, body.value))
    return visit.page(
        "dead_letter.html",
        letter=letter,
        key=shown.show(key),
        value=shown.show(value),
        hints=shown.hints(value),
        alerts=alerts,
        protected=protected,
        results=[],
    )


@route("POST", "/dead-letter/retry", needs="topics.change")
@reads_kafka
def retry(visit: Visit) -> Response:
    """Send again what the fields mean: places (`place`), or a filter; those that were sent before only with `again`."""
    reason, again = visit.reason(), bool(visit.text("again"))
    places = [place_of(str(words)) for words in visit.form.getlist("place")]
    wanted = None if places else filter_of({**_form(visit), "state": "all" if again else "waiting"})
    sent, left = send(visit, places, wanted, again=again, reason=reason)
    done = sum(result.record is not None for result in sent)
    said = f"{done:,} sent again" + (f", {len(sent) - done:,} not" if done < len(sent) else "")
    return visit.page("dead_letter_results.html", results=sent, said=said, left=left, fields=_fields(_form(visit)))


def send(
    asker: Asker, places: Sequence[Place], wanted: Filter | None, *, again: bool, reason: str
) -> tuple[list[Sent], int]:
    """Send the letters at these places again, or those that fit, with their audit row; what came of each, and how many are left.

    Raises UserError where there is nothing to send, and errors of Kafka.
    """
    settings = asker.desk.settings
    sent: list[Sent] = []
    with _autocommit(asker) as connection:
        letters = _meant(connection, places, wanted, again)
        if not letters:
            raise UserError("there is nothing to send: all of them were sent again before")
        protection = protection_of(connection, settings)
        try:
            for result in send_again(connection, settings, letters[:AT_ONCE], asker.user, protection):
                sent.append(result)
        finally:
            _note(connection, asker, letters[:AT_ONCE], sent, reason)
    return sent, max(0, len(letters) - AT_ONCE)


def _note(connection: Connection, asker: Asker, letters: list[Letter], sent: list[Sent], reason: str) -> None:
    """The audit row; also of a retry that an error ended, with what it did."""
    first = str(letters[0].place)
    subject = f"dead letter {first}" if len(letters) == 1 else f"{len(letters)} dead letters from {first} on"
    records = [str(result.record) for result in sent if result.record is not None]
    after: dict[str, Any] = {"sent": len(records), "not_sent": len(letters) - len(records), "records": records[:20]}
    audit.note(connection, asker.user, "topics.change", subject, reason=reason, after=after)


def _meant(connection: Connection, places: Sequence[Place], wanted: Filter | None, again: bool) -> list[Letter]:
    filters = [Filter(place=place) for place in places[:AT_ONCE]] if wanted is None else [wanted]
    found = [letter for one in filters for letter in matching(connection, one)]
    return [letter for letter in found if again or letter.retried_as is None]


def _form(visit: Visit) -> dict[str, str]:
    return {name: visit.text(name) for name in ("plain", "contains", "topic", "since", "state")}


def _fields(query: dict[str, str]) -> dict[str, str]:
    return {name: query.get(name, "") for name in ("plain", "contains", "topic", "since", "state")}


def filter_of(query: dict[str, str]) -> Filter:
    """The filter that the fields of a page mean. Raises UserError."""
    since = query.get("since", "")
    try:
        at = time_of(since) if since else None
    except BadTime:
        raise UserError(f"{since[:40]!r} is no time: 2026-11-29T10:00 in UTC, or so long ago: 2h") from None
    return Filter(
        reason=query.get("contains") or None,
        topic=query.get("topic") or None,
        since=at,
        plain=query.get("plain") or None,
        retried=STATES.get(query.get("state") or "waiting"),
    )


@contextmanager
def _autocommit(asker: Asker) -> Iterator[Connection]:
    """A connection that commits each statement, as a retry needs it."""
    with asker.desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
