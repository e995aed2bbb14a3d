"""`streamguard rules list|set`: how the Python rules take part. A change works from the next batch on."""

from __future__ import annotations

import getpass
from enum import Enum

import typer
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from streamguard.cli.shared import database, new_app
from streamguard.database import RuleModeRow
from streamguard.rules import REGISTRY

app = new_app("List the Python rules; switch one to active, shadow or off.")


class Mode(str, Enum):
    """active counts; shadow is recorded without effect; off is not asked."""

    active = "active"
    shadow = "shadow"
    off = "off"


@app.command("list")
def list_rules() -> None:
    """Every rule with its mode, its version and what it does."""
    with database() as connection:
        modes = {row.rule: row.mode for row in connection.execute(select(RuleModeRow.rule, RuleModeRow.mode))}
    for name, known in REGISTRY.items():
        does = (known.judge.__doc__ or "").strip().splitlines()[0]
        print(f"{name:<16} {modes.get(name, Mode.active.value):<7} v{known.version}  {does}")


@app.command("set")
def set_mode(rule: str, mode: Mode) -> None:
    """Switch a rule while everything runs; exits 1 for a rule that is not there."""
    if rule not in REGISTRY:
        typer.echo(f"there is no rule {rule}; there are: {', '.join(REGISTRY)}", err=True)
        raise typer.Exit(1)
    changes = {"mode": mode.value, "changed_by": getpass.getuser(), "changed_at": func.clock_timestamp()}
    with database() as connection:
        statement = insert(RuleModeRow).values(rule=rule, **changes)
        connection.execute(statement.on_conflict_do_update(index_elements=["rule"], set_=changes))
    print(f"{rule} is {mode.value}")
