"""`streamguard alarms list|test`: the alarms of ops/prometheus/alerts.yml as the monitor has them, and where they are sent."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Annotated

import typer

from streamguard.alarms import store
from streamguard.alarms.loop import EVERY_S
from streamguard.alarms.messages import trial_message
from streamguard.alarms.receivers import NotSent, receivers_of
from streamguard.alarms.states import Active
from streamguard.cli.shared import new_app, print_line
from streamguard.config import UserError, get_settings

app = new_app("Alarms, evaluated by `streamguard monitor`: which fire, and whether they arrive.")

_OLD_S = 8 * EVERY_S


class NoReceiver(UserError):
    """Nothing says where alarms are sent."""


@app.command("list")
def list_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Alarms that fire or are about to, and what each receiver was told. Exits 1 where one fires, 2 where nobody looks."""
    kept = store.read(get_settings())
    old_s = time.time() - kept.at_s
    if as_json:
        told = {name: {"failures": one.failures, "error": one.error} for name, one in kept.told.items()}
        print(json.dumps({"at_s": kept.at_s, "alarms": kept.states.dump(), "receivers": told}, indent=2))
    else:
        for alarm in kept.states.all:
            print_line(_line(alarm))
        if not kept.states.all:
            print_line("no alarm fires, and none is about to")
        for name, one in kept.told.items():
            if one.failures:
                print_line(f"{name} has failed {one.failures} times: {one.error}")
    if old_s > _OLD_S:
        since = f"for {old_s:,.0f} s" if kept.at_s else "here yet"
        print_line(f"alarms were not evaluated {since}: `streamguard monitor` does it", err=True)
        raise typer.Exit(2)
    if kept.states.firing:
        raise typer.Exit(1)


@app.command("test")
def test_command() -> None:
    """Send a message that is about nothing to each receiver. Exits 1 where one does not take it."""
    receivers = receivers_of(get_settings())
    if not receivers:
        raise NoReceiver(
            "nothing says where alarms are sent: set STREAMGUARD_ALARMS_WEBHOOK_URL, STREAMGUARD_ALARMS_EMAIL_TO or"
            " STREAMGUARD_ALARMS_COMMAND"
        )
    failed = False
    for receiver in receivers:
        try:
            receiver.send(trial_message(time.time()))
        except NotSent as error:
            failed = True
            print_line(f"{receiver.name}: not sent: {error}", err=True)
        else:
            print_line(f"{receiver.name}: sent")
    if failed:
        raise typer.Exit(1)


def _line(alarm: Active) -> str:
    since = datetime.fromtimestamp(alarm.firing_s or alarm.since_s, timezone.utc)
    severity = alarm.labels.get("severity", "")
    return f"{alarm.state:<8} {severity:<9} {alarm.name:<20} since {since:%Y-%m-%d %H:%M:%S}  {alarm.summary}"
