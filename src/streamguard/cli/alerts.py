"""`streamguard alerts list|show|verify|confirm|dismiss|duplicate|reopen`."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from typing import Annotated

import typer

from streamguard.alerts.actions import DUPLICATE, MOST_DEAD_LETTERS, AlertLine, list_alerts, resolve_alert, show_alert
from streamguard.alerts.claim import claim_of
from streamguard.cli.shared import database, new_app, print_line, print_lines
from streamguard.config import get_settings
from streamguard.evaluation.verify import verify as recompute
from streamguard.kafka.clients import kafka_errors
from streamguard.models import show_amount
from streamguard.privacy.mode import protection_of

app = new_app("List, show, confirm and dismiss alerts, and name duplicates.")

Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Who = Annotated[str | None, typer.Option("--by", help="Who decides; the login name if not given.")]


@app.command("list")
def list_command(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    status: Annotated[str | None, typer.Option("--status", help="open, confirmed, dismissed or duplicate")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Of this account only.")] = None,
) -> None:
    """The newest alerts first."""
    with database() as connection:
        stored = None if account is None else protection_of(connection, get_settings()).listed("account", account)
        alerts = list_alerts(connection, limit=limit, status=status, account=stored)
    for alert in alerts:
        print_lines(_lines(alert))
    if not alerts:
        print_line("no alerts")


@app.command()
def show(alert_id: str) -> None:
    """An alert with its transactions, every decision on it, and dead letters with the ids of its transactions."""
    with database() as connection:
        file = show_alert(connection, alert_id)
    print_lines(_lines(file.line))
    print_line()
    print_line("Transactions:")
    for t in file.transactions:
        place = ", ".join(part for part in (t.merchant_name, t.city, t.country) if part)
        amount = f"{show_amount(t.amount, t.currency):>12} {t.currency}"
        print_line(f"  {t.event_time:%Y-%m-%d %H:%M:%S}  {amount}  {t.transaction_id}  {place}")
    print_line()
    print_line("Decisions:")
    for d in file.decisions:
        when = f"{d.decided_at:%Y-%m-%d %H:%M:%S}" if d.decided_at else "waits for its transaction"
        score = "" if d.score is None else f" ({d.score})"
        outcome = d.outcome or "undecided"
        print_line(f"  {when}  at {_count(d.tx_count)}  {d.decided_by}: {outcome}{score}  {d.reason or ''}")
    if file.dead_letters:
        print_line()
        print_line("Dead letters with the ids of its transactions:")
    for letter in file.dead_letters[:MOST_DEAD_LETTERS]:
        print_line(f"  {letter.place}  {letter.transaction_id}  {letter.reason}")
    if len(file.dead_letters) > MOST_DEAD_LETTERS:
        print_line("  ... and more: see `streamguard dead-letters list`")


@app.command()
def confirm(alert_id: str, reason: Why, by: Who = None) -> None:
    """It was fraud."""
    _resolve(alert_id, "confirmed", reason, by)


@app.command()
def dismiss(alert_id: str, reason: Why, by: Who = None) -> None:
    """It was not."""
    _resolve(alert_id, "dismissed", reason, by)


@app.command()
def duplicate(
    alert_id: str,
    of: Annotated[str, typer.Option("--of", metavar="ID", help="The alert of the same account that it repeats.")],
    reason: Why,
    by: Who = None,
) -> None:
    """It repeats another alert: it counts neither as fraud found nor as a false alarm."""
    _resolve(alert_id, DUPLICATE, reason, by, duplicate_of=of)


@app.command()
def reopen(alert_id: str, reason: Why, by: Who = None) -> None:
    """Take a confirmation, dismissal or duplicate back."""
    _resolve(alert_id, "open", reason, by)


@app.command()
def verify(alert_id: str) -> None:
    """Run the rule's own SQL over the topic once more; exits 1 if it does not give the alert as it is stored."""
    with database() as connection:
        claim = claim_of(connection, alert_id)
        protection = protection_of(connection, get_settings())
    with kafka_errors():
        result = recompute(get_settings(), claim, protection)
    for item in result.evidence:
        amount = show_amount(item.transaction.amount, item.transaction.currency)
        place = f"{item.topic}/{item.partition}/{item.offset}"
        print_line(f"  {item.transaction.transaction_id}  {amount:>12} {item.transaction.currency}  {place}")
    print_line(f"Computed with {result.origin}.")
    for sentence in result.notes:
        print_line(f"NOTE: {sentence}")
    for sentence in result.differences:
        print_line(f"DIFFERENT: {sentence}")
    for sentence in result.lost:
        print_line(f"MAY BE LOST: {sentence}")
    if result.differences:
        raise typer.Exit(1)
    print_line(f"{claim.rule} is confirmed: from the topic its rule raises the alert as it is stored")


def _resolve(alert_id: str, status: str, reason: str, by: str | None, duplicate_of: str | None = None) -> None:
    with database() as connection:
        topic, who = get_settings().decisions_topic, by or getpass.getuser()
        before = resolve_alert(
            connection, alert_id, status, who=who, why=reason, topic=topic, duplicate_of=duplicate_of
        )
    print_line(f"{alert_id}: {before} -> {status}{f' of {duplicate_of}' if duplicate_of else ''}")


def _count(transactions: int) -> str:
    return f"{transactions} transaction{'s' if transactions != 1 else ''}"


def _lines(alert: AlertLine) -> Iterator[str]:
    amount = show_amount(alert.amount, alert.currency)
    outcome = alert.outcome or "undecided"
    points = "" if alert.score is None else f" ({alert.score})"
    mode = "" if alert.mode == "active" else f"  (rule is {alert.mode})"
    yield (
        f"{alert.detected_at:%Y-%m-%d %H:%M:%S}  {outcome + points:<14} {alert.status:<9} {amount:>12}  "
        f"{_count(alert.tx_count):<16} {alert.account_id:<12} {alert.alert_id}{mode}"
    )
    if alert.duplicate_of is not None:
        yield f"    duplicate of {alert.duplicate_of}"
    if alert.refusal is not None:
        yield f"    refused: {alert.refusal}"
