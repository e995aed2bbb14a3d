"""`streamguard rules list|set|history`: the catalogue of rules with their figures, and their modes; `cli.shadow` has the rest.

A change of mode takes effect with the next batch. It is stored first; the query of a SQL rule that is switched off, or on
again, follows. Where that does not come about, `status` names it, and `deploy`, `up` or the same command finishes it.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import typer

from streamguard.cli import shadow
from streamguard.cli.shared import database, new_app, print_line
from streamguard.config import get_settings
from streamguard.consumer.limit_changes import limit_changes
from streamguard.rules import Rule, RuleLimits, catalogue, modes
from streamguard.rules.catalogue import python_rules
from streamguard.rules.decide import ACTIVE
from streamguard.rules.figures import Figures, figures_of
from streamguard.rules.replacements import NOW, Replacement, replacements_of
from streamguard.sqldeploy.switch import follow_mode, store_mode

app = new_app("List the rules; switch a rule to active, shadow or off; show who did; compare and promote a shadow.")
app.command("compare")(shadow.compare)
app.command("promote")(shadow.promote_shadow)
app.command("drop-shadow")(shadow.drop_shadow)


class Mode(str, Enum):
    """active counts; shadow is recorded without effect; off is not evaluated."""

    active = "active"
    shadow = "shadow"
    off = "off"


@app.command("list")
def list_rules(
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array, an object for each rule.")] = False,
) -> None:
    """Every rule: kind, name, mode, version, severity, what it finds, its limits, and figures.

    Alerts of the last day and week (of a Python rule: decisions in which it had points), how many of its resolved alerts
    analysts confirmed, its share of the transactions that are confirmed as fraud, and the accounts of its alerts.
    """
    with database() as connection:
        mode_of, figures = modes.modes_of(connection), figures_of(connection)
    rules = catalogue()
    lines = [_fields(rule, mode_of.get(rule.name, ACTIVE), figures.get(rule.name)) for rule in rules]
    if as_json:
        print(json.dumps(lines, indent=2))
    else:
        _print_table(lines)
    if strangers := sorted(figures.keys() - {rule.name for rule in rules}):
        print_line(f"rules with alerts and without a line in ksqldb/rules.yaml: {', '.join(strangers)}", err=True)


@app.command("set")
def set_mode(
    rule: str,
    mode: Mode,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
    by: Annotated[str | None, typer.Option("--by", help="Who changes it; the login name if not given.")] = None,
) -> None:
    """Switch a rule while everything runs; exits 1 for an unknown one, and where its query does not follow."""
    if not reason.strip():
        raise typer.BadParameter("a reason is expected", param_hint="--reason")
    with database() as connection:
        before, rules = store_mode(connection, rule, mode.value, who=by or getpass.getuser(), why=reason)
    print_line(f"{rule} is {mode.value}" + (" already" if before == mode.value else f" (it was {before})"))
    if rules:
        followed = follow_mode(get_settings(), database, rules)
        for statement in followed.statements:
            print_line(f"{statement} done")
        if followed.missing:
            print_line(f"the server does not run {rule}: `streamguard deploy {followed.missing}` sends it", err=True)


@app.command()
def history(rule: Annotated[str | None, typer.Argument(help="Of this rule only.")] = None) -> None:
    """Every change of a mode or limit and every replacement, the oldest first: when, which rule, before and after, who, why."""
    with database() as connection:
        changes = modes.changes_of(connection, rule)
        replaced = replacements_of(connection, rule)
        limits = limit_changes(connection)
        if rule is not None and not changes and not replaced:
            modes.rules_named(connection, rule)
    lines = [(c.changed_at, c.rule, f"{c.mode_before} -> {c.mode_after}", c.changed_by, c.reason) for c in changes]
    lines += [(r.replaced_at, r.rule, _replaced(r), r.replaced_by, r.reason) for r in replaced]
    lines += [
        (c.changed_at, name, f"{c.name} {c.before} -> {c.after}", "settings", RuleLimits.variable_of(c.name))
        for c in limits
        for name in [r.name for r in python_rules() if c.name in r.limits] or ["all rules"]
        if rule in (None, name)
    ]
    for at, name, what, who, why in sorted(lines):
        print_line(f"{at:%Y-%m-%d %H:%M:%S}  {name:<21} {what:<17} {who}: {why}")
    if not lines:
        print_line("no changes")


def _replaced(replacement: Replacement) -> str:
    done = "being replaced" if replacement.is_open else "replaced"
    counts = f", {replacement.left_out:,} earlier alerts left out" if replacement.left_out else ""
    return f"{done} from {'now' if replacement.start == NOW else 'the beginning'}{counts}"


def _fields(rule: Rule, mode: str, figures: Figures | None) -> dict[str, Any]:
    """A rule as JSON has it."""
    found = figures or Figures(rule.name)
    return {
        "kind": rule.kind,
        "name": rule.name,
        "version": rule.version,
        "mode": mode,
        "severity": rule.severity,
        "finds": rule.finds,
        "limits": list(rule.limits),
        "file": rule.file,
        "query_id": rule.query_id,
        "last_day": found.day,
        "last_week": found.week,
        "confirmed": found.confirmed,
        "dismissed": found.dismissed,
        "confirmed_share": found.confirmed_share,
        "dismissed_share": None if found.confirmed_share is None else 1 - found.confirmed_share,
        "accounts": found.accounts,
        "found_share": found.found_share,
        "points": rule.points,
    }


def _print_table(lines: Sequence[Mapping[str, Any]]) -> None:
    print_line(
        f"{'kind':<7}{'name':<21}{'mode':<7}    severity{'day':>8}{'week':>8}  confirmed  found  accounts  finds (limits)"
    )
    for line in lines:
        limits = f" ({', '.join(line['limits'])})" if line["limits"] else ""
        resolved = line["confirmed"] + line["dismissed"]
        confirmed = f"{line['confirmed']} of {resolved}" if resolved else "-"
        found = "-" if line["found_share"] is None else f"{100 * line['found_share']:.0f} %"
        accounts = "-" if line["accounts"] is None else f"{line['accounts']:,}"
        print_line(
            f"{line['kind']:<7}{line['name']:<21}{line['mode']:<7} v{line['version']} {line['severity']:<8}"
            f"{line['last_day']:>8}{line['last_week']:>8}  {confirmed:<9}  {found:>5}  {accounts:>8}  {line['finds']}{limits}"
        )
