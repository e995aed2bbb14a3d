"""`streamguard audit show|verify|head`: what people did, and whether the log of it is as it was written."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app, print_line
from streamguard.users import audit, audit_chain

app = new_app("What people did, and proof that the log of it is as it was written.")

_FAULTS_SHOWN = 20


@app.command()
def show(
    by: Annotated[str | None, typer.Option("--by", help="Of this user.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Actions that begin so, such as alerts.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Part of the subject, such as an alert's id.")
    ] = None,
    before: Annotated[int | None, typer.Option("--before", help="Entries with a lower number.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array, an object for each entry.")] = False,
) -> None:
    """The newest entries first."""
    with database() as connection:
        entries = audit.find(connection, done_by=by, action=action, subject=subject, before_no=before, limit=limit)
    if as_json:
        print(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2, default=str))
        return
    for entry in entries:
        print_line(_line(entry))
    if not entries:
        print_line("no entries")


@app.command()
def head() -> None:
    """The hash of the last entry: note it down elsewhere, `audit verify --from-head` then proves that nothing before changed."""
    with database() as connection:
        found = audit_chain.head(connection)
    if found is None:
        print_line("the table audit_head has lost its row: see `streamguard audit verify`", err=True)
        raise typer.Exit(1)
    print_line(f"{found.row_hash}  {_entries(found.chain_no)}")


@app.command()
def verify(
    from_head: Annotated[
        str | None, typer.Option("--from-head", metavar="HASH", help="A hash that `audit head` printed before.")
    ] = None,
) -> None:
    """Compute the chain anew; exits 1, and names the entries, where one is missing or altered."""
    with database() as connection:
        chain = audit_chain.verify(connection, from_head)
    for fault in chain.faults[:_FAULTS_SHOWN]:
        print_line(f"WRONG: {fault}")
    if len(chain.faults) > _FAULTS_SHOWN:
        print_line(f"... and {len(chain.faults) - _FAULTS_SHOWN:,} more")
    if chain.faults:
        raise typer.Exit(1)
    noted = "" if from_head is None else ", and the noted one is among them"
    print_line(f"{_entries(chain.entries)}, none missing or altered{noted}; the last has the hash {chain.last_hash}")


def _line(entry: audit.AuditEntry) -> str:
    sides = [
        f"{name} {json.dumps(side, ensure_ascii=False)}"
        for name, side in (("before", entry.value_before), ("after", entry.value_after))
        if side
    ]
    said = "  ".join(part for part in (entry.subject, entry.reason, *sides) if part)
    return f"{entry.entry_no:>6}  {entry.done_at:%Y-%m-%d %H:%M:%S}  {entry.done_by:<12} {entry.action:<20} {said}"


def _entries(count: int) -> str:
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"
