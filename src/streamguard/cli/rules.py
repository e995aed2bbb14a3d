"""`streamguard rules list|set`: the catalogue of rules, and the modes of the Python rules.

A change of mode takes effect with the next batch.
"""

from __future__ import annotations

import getpass
from enum import Enum

import typer
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from streamguard.cli.shared import database, new_app
from streamguard.database.tables import RuleModeRow
from streamguard.rules import REGISTRY, catalogue

app = new_app("List the rules; switch a Python rule to active, shadow or off.")


class Mode(str, Enum):
    """active counts; shadow is recorded without effect; off is not evaluated."""

    active = "active"
    shadow = "shadow"
    off = "off"


@app.command("list")
def list_rules() -> None:
    """Every SQL and Python rule: kind, name, mode, version, severity, what it finds, and its limits."""
    with database() as connection:
        modes = {row.rule: row.mode for row in connection.execute(select(RuleModeRow.rule, RuleModeRow.mode))}
    for rule in catalogue():
        mode = modes.get(rule.name, Mode.active.value) if rule.kind == "python" else ""
        limits = f" ({', '.join(rule.limits)})" if rule.limits else ""
        print(f"{rule.kind:<7}{rule.name:<21}{mode:<7} v{rule.version}  {rule.severity:<7} {rule.finds}{limits}")


@app.command("set")
def set_mode(rule: str, mode: Mode) -> None:
    """Switch a Python rule while everything runs; exits 1 for an unknown one."""
    if rule not in REGISTRY:
        typer.echo(f"there is no Python rule {rule}; there are: {', '.join(REGISTRY)}", err=True)
        raise typer.Exit(1)
    changes = {"mode": mode.value, "changed_by": getpass.getuser(), "changed_at": func.clock_timestamp()}
    with database() as connection:
        statement = insert(RuleModeRow).values(rule=rule, **changes)
        connection.execute(statement.on_conflict_do_update(index_elements=["rule"], set_=changes))
    print(f"{rule} is {mode.value}")
