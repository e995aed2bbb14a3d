"""`streamguard deploy --shadow` and `streamguard rules compare|promote|drop-shadow`: a change beside what runs."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from streamguard.cli.shared import database, deployment, print_line
from streamguard.config import Settings, UserError, get_settings
from streamguard.kafka.clients import kafka_admin, kafka_errors
from streamguard.kafka.lags import ends_of
from streamguard.models import FraudAlert
from streamguard.privacy.mode import protection_of
from streamguard.rules.modes import modes_of
from streamguard.rules.replacements import BEGINNING, NOW, written_from
from streamguard.sqldeploy import Outcome, Replacing, follow, insert_first_values, promote
from streamguard.sqldeploy.difference import Difference, RuleDifference, difference
from streamguard.sqldeploy.flow import Behind, Flow, upstream, wait_read
from streamguard.sqldeploy.journal import Shadow, open_shadow
from streamguard.sqldeploy.modes import PAUSED
from streamguard.sqldeploy.replace import rules_of
from streamguard.sqldeploy.shadow import PREFIX
from streamguard.sqldeploy.state import Server

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; the login name if not given.")]


class Start(str, Enum):
    """The transactions on which rules raise alerts: those from now on, or all that their topics hold."""

    now = NOW
    beginning = BEGINNING


def deploy_shadow(
    settings: Settings, files: Sequence[Path], definitions: Mapping[str, str], *, who: str, reason: str
) -> None:
    """Run files beside what runs, a line for each statement."""
    with _replacing(settings, None, who, reason) as (server, how):
        promote.deploy_shadow(server, how, files, definitions)
    print_line(
        "`streamguard rules compare` shows the difference; `rules promote` or `rules drop-shadow` ends the shadow"
    )


def promote_shadow(
    reason: Reason,
    by: By = None,
    start: Annotated[
        Start, typer.Option("--from", help="The transactions on which the new rules raise alerts.")
    ] = Start.now,
) -> None:
    """Make the shadow's files those that run, without a gap and without a doubled alert, and remove the shadow."""
    settings = get_settings()
    _check_reason(reason)
    with _replacing(settings, start.value, by or getpass.getuser(), reason) as (server, how):
        shadow = _shadow()
        promote.promote(server, how, shadow)
        for file in insert_first_values(server, settings, [Path(file["name"]) for file in shadow.files]):
            print_line(f"values     {file}")
        with database() as connection:
            modes = modes_of(connection)
        for statement in follow(server, modes):
            print_line(f"{statement} as the mode of its rule says")
        names = ", ".join(sorted(set(rules_of(shadow.items()).values())))
    print_line(f"{names} run as in {shadow.names}, with alerts on {_ON[start.value]}")


def drop_shadow(reason: Reason = "no reason given", by: By = None) -> None:
    """Remove the shadow with its topics; what runs is not touched."""
    with _replacing(get_settings(), None, by or getpass.getuser(), reason) as (server, how):
        shadow = _shadow()
        promote.drop(server, how, shadow)
    print_line(f"the shadow of {shadow.names} is dropped")


def compare(
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Alerts detected from then on, such as 2026-03-01.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many alerts of each kind.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
) -> None:
    """The alerts that the shadow gains, loses or changes, on the transactions that it and the live rules have both read."""
    settings, since_ms = get_settings(), _instant_ms(since)
    shadow = _shadow()
    rules = rules_of(shadow.items())
    with kafka_errors(), kafka_admin(settings) as kafka:
        server = Server(settings.ksqldb)
        read = ends_of(kafka, settings.transactions_topic)
        queries = [PREFIX + query for query in rules] + list(rules)
        _check_running(server, shadow, queries[: len(rules)])
        flows = upstream(server, queries, settings.transactions_topic)
        _name_paused(flows)
        wait_read(*(kafka, settings.kafka, flows, (settings.transactions_topic, read)), tell=_say_behind)
        with database() as connection:
            found = difference(
                *(connection, settings, protection_of(connection, settings), set(rules.values())),
                *(read, written_from(connection), since_ms),
            )
    if as_json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        _print(found, limit)


_ON = {NOW: "transactions from now on", BEGINNING: "all transactions of the topic"}


@contextmanager
def _replacing(settings: Settings, start: str | None, who: str, reason: str) -> Iterator[tuple[Server, Replacing]]:
    with deployment(), kafka_errors(), kafka_admin(settings) as kafka:
        how = Replacing(*(settings, kafka, database, start, who, reason), tell=_say, wait=_say_behind)
        yield Server(settings.ksqldb), how


def _say(outcome: Outcome) -> None:
    print_line(outcome)


def _say_behind(behind: Behind) -> None:
    print_line(f"waiting: {behind}", err=True)


def _shadow() -> Shadow:
    with database() as connection:
        shadow = open_shadow(connection)
    if shadow is None:
        raise UserError("there is no shadow: `streamguard deploy --shadow FILE` makes one")
    return shadow


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise typer.BadParameter("a reason is expected", param_hint="--reason")


def _check_running(server: Server, shadow: Shadow, queries: Sequence[str]) -> None:
    running = server.queries()
    if missing := [query for query in queries if query not in running]:
        raise UserError(
            f"the shadow of {shadow.names} lacks {missing[0]}: `streamguard deploy --shadow` of the same files finishes it"
        )


def _name_paused(flows: Sequence[Flow]) -> None:
    for flow in flows:
        if flow.state == PAUSED:
            print_line(f"the query {flow.query_id} is paused: its alerts end where it was left", err=True)


def _instant_ms(text: str | None) -> int:
    """Epoch milliseconds of a date or a time, UTC where it names no zone; raises BadParameter."""
    if text is None:
        return 0
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no date or time, such as 2026-03-01", param_hint="--since") from None
    return round((instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def _print(found: Difference, limit: int) -> None:
    print_line(f"{'rule':<21}{'live':>8}{'shadow':>8}{'gained':>8}{'lost':>8}{'changed':>9}")
    for rule in found.rules:
        counts = f"{len(rule.gained):>8}{len(rule.lost):>8}{len(rule.changed):>9}"
        print_line(f"{rule.rule:<21}{rule.live:>8}{rule.shadow:>8}{counts}")
    print_line(f"on {found.transactions:,} transactions that both have read")
    if found.unplaced:
        print_line(f"left out: alerts on {found.unplaced:,} transactions that the consumer has not read yet")
    for rule in found.rules:
        for word, alerts in (("gained", rule.gained), ("lost", rule.lost)):
            _print_lines([f"{word:<8} {_line(alert)}" for alert in alerts], limit)
        _print_lines([f"changed  {_line(before)} -> {_line(after)}" for before, after in rule.changed], limit)


def _print_lines(lines: Sequence[str], limit: int) -> None:
    for line in lines[:limit]:
        print_line(line)
    if len(lines) > limit:
        print_line(f"... and {len(lines) - limit:,} more: --limit shows them, --json has all")


def _line(alert: FraudAlert) -> str:
    amount = "-" if alert.amount is None else alert.amount
    return f"{alert.alert_id} ({alert.account_id}, {alert.transaction_id}, {amount}, {alert.tx_count} transactions)"


def _as_json(found: Difference) -> dict[str, Any]:
    return {
        "transactions": found.transactions,
        "unplaced": found.unplaced,
        "rules": {rule.rule: _rule_json(rule) for rule in found.rules},
    }


def _rule_json(rule: RuleDifference) -> dict[str, Any]:
    return {
        "live": rule.live,
        "shadow": rule.shadow,
        "gained": [_fields(alert) for alert in rule.gained],
        "lost": [_fields(alert) for alert in rule.lost],
        "changed": [{"live": _fields(before), "shadow": _fields(after)} for before, after in rule.changed],
    }


def _fields(alert: FraudAlert) -> dict[str, Any]:
    return {**alert.model_dump(), "amount": None if alert.amount is None else str(alert.amount)}
