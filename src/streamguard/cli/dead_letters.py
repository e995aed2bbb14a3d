"""`streamguard dead-letters list|show|retry`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app, print_line
from streamguard.config import UserError, get_settings
from streamguard.dead_letters.find import (
    Filter,
    Letter,
    alerts_of,
    body_of,
    counts,
    matching,
    newest,
    place_of,
    time_of,
)
from streamguard.dead_letters.outgoing import NotSendable, Outgoing, Prepare, as_it_was
from streamguard.dead_letters.retry import retry as send_again
from streamguard.kafka.clients import kafka_errors
from streamguard.models.columns import loads
from streamguard.privacy.mode import protection_of

app = new_app("Records that could not be used: list, show, send again.")

SHOWN_REASONS, SHOWN_CHARACTERS = 10, 2_000

ReasonText = Annotated[str | None, typer.Option("--reason", help="Whose reason has this text, in any letter case.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Of this topic only.")]
Since = Annotated[str | None, typer.Option("--since", help="Since a time, 2026-11-29T10:00 (UTC), or so long ago: 2h.")]


class NotConfirmed(UserError):
    """A question that nobody is there to answer."""


@app.command("list")
def list_command(
    reason: ReasonText = None,
    topic: Topic = None,
    since: Since = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that were not sent again.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """Counts by reason, then the newest dead letters first."""
    wanted = replace(_filter(reason, topic, since), retried=False if waiting else None)
    with database() as connection:
        reasons = counts(connection, wanted)
        letters = newest(connection, wanted, limit)
    if not letters:
        print_line("no dead letters")
        return
    total = sum(found.letters for found in reasons)
    print_line(f"{total:,} dead letter{'s' if total != 1 else ''}:")
    for found in reasons[:SHOWN_REASONS]:
        print_line(f"{found.letters:>9,}  {found.reason}")
    if others := reasons[SHOWN_REASONS:]:
        print_line(f"{sum(found.letters for found in others):>9,}  for {len(others):,} other reasons")
    print_line()
    for letter in letters:
        sent = _retried(letter)
        print_line(
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}  {letter.place!s:<24}  {letter.reason}{f' ({sent})' if sent else ''}"
        )


@app.command()
def show(place: Annotated[str, typer.Argument(help="topic/partition/offset, as `list` shows it.")]) -> None:
    """A dead letter with its reason, key and value, its alerts, and whether it was sent again."""
    with database() as connection:
        [letter] = matching(connection, Filter(place=place_of(place)))
        body = body_of(connection, letter.place)
        alerts = alerts_of(connection, letter)
        protected = protection_of(connection, get_settings()).active
    print_line(f"{letter.place}  {letter.failed_at:%Y-%m-%d %H:%M:%S} UTC")
    print_line(f"  reason: {letter.reason}")
    print_line(f"  key:    {_readable(body.key)}")
    print_line(f"  value:  {_readable(body.value)}")
    if protected:
        print_line("          (personal data is protected: key and value are not as they came)")
    for alert in alerts:
        state = "refused because of it" if alert.refused_by_it else alert.outcome or "undecided"
        print_line(f"  alert:  {alert.alert_id}: {state}")
    if sent := _retried(letter):
        print_line(f"  {sent} at {letter.retried_at:%Y-%m-%d %H:%M:%S} UTC by {letter.retried_by}")


@app.command()
def retry(
    place: Annotated[
        str | None, typer.Argument(help="topic/partition/offset; all that the options mean if none.")
    ] = None,
    reason: ReasonText = None,
    topic: Topic = None,
    since: Since = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--map", metavar="FIELD=...", help="Fields of the transaction from those of the record: amount=amt,..."
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent again before.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who sends; the login name if not given.")] = None,
) -> None:
    """Send dead letters again, to the topic that they came from; each once. Exits 1 if one could not be sent."""
    wanted = _filter(reason, topic, since, place)
    prepare = as_it_was if mapping is None else _mapped(mapping)
    settings = get_settings()
    with database(autocommit=True) as connection, kafka_errors():
        found = matching(connection, wanted)
        letters = [letter for letter in found if again or letter.retried_as is None]
        _say_skipped(found, letters)
        if not letters:
            return
        protection = protection_of(connection, settings)
        _confirm(letters, yes)
        sent = problems = 0
        for result in send_again(connection, settings, letters, by or getpass.getuser(), protection, prepare):
            if result.record is None:
                problems += 1
                print_line(f"{result.place} is not sent: {result.problem}", err=True)
            else:
                sent += 1
                print_line(f"{result.place} is sent again as {result.record}")
    print_line(f"{sent:,} sent again" + (f", {problems:,} not" if problems else ""))
    if problems:
        raise typer.Exit(1)


def _filter(reason: str | None, topic: str | None, since: str | None, place: str | None = None) -> Filter:
    return Filter(reason, topic, None if since is None else time_of(since), None if place is None else place_of(place))


def _mapped(words: str) -> Prepare:
    """Records made of the fields of JSON objects, as `streamguard import` maps them; what is not mapped and has the name of
    a field is that field. Raises InputError."""
    from streamguard.ingest.errors import BadRow, InputError
    from streamguard.ingest.mapping import FIELDS, mapping_from, mapping_of
    from streamguard.ingest.payments import Payment, read_object
    from streamguard.ingest.records import record_of

    given = mapping_of(words)

    def prepare(_: bytes | None, value: bytes | None) -> Outgoing:
        try:
            fields = loads(value or b"")
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise NotSendable("it is no JSON object, so it has no fields to map")
        try:
            named = {name.lower(): name for name in fields if name.lower() in FIELDS}
            mapping = mapping_from(named, "the record").changed_by(given)
            mapped = read_object(mapping, fields)
        except (BadRow, InputError) as error:
            raise NotSendable(str(error)) from None
        record = record_of(Payment(mapped, {}))
        assert record.value is not None
        return Outgoing(record.key, record.value)

    return prepare


def _say_skipped(found: Sequence[Letter], letters: Sequence[Letter]) -> None:
    if not found:
        print_line("no dead letters")
    elif skipped := len(found) - len(letters):
        print_line(f"{skipped:,} of {len(found):,} were sent again before and are left out; --again sends them too")


def _confirm(letters: Sequence[Letter], yes: bool) -> None:
    """Ask at a terminal; elsewhere --yes is needed. Raises NotConfirmed, typer.Abort."""
    if yes:
        return
    what = letters[0].place if len(letters) == 1 else f"{len(letters):,} dead letters"
    topics = ", ".join(sorted({letter.topic for letter in letters}))
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{what} would be sent again to {topics}: --yes sends without a question")
    typer.confirm(f"Send {what} again to {topics}?", abort=True)


def _retried(letter: Letter) -> str:
    if letter.retried_at is None:
        return ""
    if letter.retried_as is None:
        return "was being sent again, `retry` goes on with it,"
    return f"sent again as {letter.retried_as}"


def _readable(data: memoryview | None) -> str:
    """Bytes as text where they are printable text, else in hexadecimal; cut where they are long."""
    if data is None:
        return "none"
    raw = bytes(data)
    try:
        words = raw.decode("utf-8")
    except UnicodeDecodeError:
        words = ""
    if not words or not words.replace("\n", "").replace("\t", "").isprintable():
        words = f"hex {raw.hex(' ')}" if raw else "empty"
    if len(words) <= SHOWN_CHARACTERS:
        return words
    return f"{words[:SHOWN_CHARACTERS]}... ({len(raw):,} bytes in all)"
