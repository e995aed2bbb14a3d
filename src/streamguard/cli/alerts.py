"""`streamguard alerts list|show|verify|confirm|dismiss|reopen`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from streamguard.alerts.actions import AlertLine, NoSuchAlert, list_alerts, resolve_alert, show_alert
from streamguard.alerts.verify import claim_of, differences, payments_of
from streamguard.cli.shared import database, new_app
from streamguard.config import get_settings
from streamguard.kafka.clients import kafka_errors
from streamguard.privacy.protection import Protection

app = new_app("List, show, confirm and dismiss alerts.")

Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Who = Annotated[str | None, typer.Option("--by", help="Who decides; the login name if not given.")]


@app.command("list")
def list_command(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    status: Annotated[str | None, typer.Option("--status", help="open, confirmed or dismissed")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Of this account only.")] = None,
) -> None:
    """The newest alerts first."""
    stored = None if account is None else Protection.of(get_settings()).listed("account", account)
    with database() as connection:
        alerts = list_alerts(connection, limit=limit, status=status, account=stored)
    for alert in alerts:
        print(_line(alert))
    if not alerts:
        print("no alerts")


@app.command()
def show(alert_id: str) -> None:
    """An alert with its transactions and every decision on it."""
    with database() as connection:
        try:
            file = show_alert(connection, alert_id)
        except NoSuchAlert as error:
            raise _unknown(error) from None
    print(_line(file.line))
    print("\nTransactions:")
    for identity, at, amount, currency, merchant, city, country in file.transactions:
        place = ", ".join(part for part in (merchant, city, country) if part)
        print(f"  {at:%Y-%m-%d %H:%M:%S}  {amount:>12,.2f} {currency}  {identity}  {place}")
    print("\nDecisions:")
    for count, decided_by, outcome, score, reason, _, at in file.decisions:
        when = f"{at:%Y-%m-%d %H:%M:%S}" if at else "waits for its transaction"
        points = "" if score is None else f" ({score})"
        print(f"  {when}  at {count} payments  {decided_by}: {outcome or 'undecided'}{points}  {reason or ''}")


@app.command()
def confirm(alert_id: str, reason: Why, by: Who = None) -> None:
    """It was fraud."""
    _resolve(alert_id, "confirmed", reason, by)


@app.command()
def dismiss(alert_id: str, reason: Why, by: Who = None) -> None:
    """It was not."""
    _resolve(alert_id, "dismissed", reason, by)


@app.command()
def reopen(alert_id: str, reason: Why, by: Who = None) -> None:
    """Take a confirmation or dismissal back."""
    _resolve(alert_id, "open", reason, by)


@app.command()
def verify(alert_id: str) -> None:
    """Read the log again and recompute the alert from its payments; exits 1 if they say something else."""
    with database() as connection:
        try:
            claim = claim_of(connection, alert_id)
        except NoSuchAlert as error:
            raise _unknown(error) from None
    with kafka_errors():
        payments = payments_of(get_settings(), claim)
    for payment in payments:
        print(f"  {payment.transaction_id}  {payment.amount:>12,.2f} {payment.currency}")
    if found := differences(claim, payments):
        for sentence in found:
            print(f"DIFFERENT: {sentence}")
        raise typer.Exit(1)
    print(f"{claim.rule} holds: {len(payments)} payments in the log, as the alert says")


def _resolve(alert_id: str, status: str, reason: str, by: str | None) -> None:
    with database() as connection:
        try:
            before = resolve_alert(connection, alert_id, status, who=by or getpass.getuser(), why=reason)
        except NoSuchAlert as error:
            raise _unknown(error) from None
    print(f"{alert_id}: {before} -> {status}")


def _unknown(error: NoSuchAlert) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


def _line(alert: AlertLine) -> str:
    amount = "" if alert.amount is None else f"{alert.amount:,.2f}"
    outcome = alert.outcome or "undecided"
    points = "" if alert.score is None else f" ({alert.score})"
    payments = f"{alert.tx_count} payment{'s' if alert.tx_count != 1 else ''}"
    return (
        f"{alert.detected_at:%Y-%m-%d %H:%M:%S}  {outcome + points:<14} {alert.status:<9} {amount:>12}  "
        f"{payments:<12} {alert.account_id:<12} {alert.alert_id}"
    )
