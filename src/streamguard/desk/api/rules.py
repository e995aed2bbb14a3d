"""The catalogue of rules, with figures and modes."""

from __future__ import annotations

from typing import Literal

from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.site import NotFound
from streamguard.rules import catalogue, modes
from streamguard.rules.decide import ACTIVE
from streamguard.rules.figures import Figures, figures_of
from streamguard.sqldeploy.switch import follow_mode, store_mode


class RuleOut(Model):
    """A rule; `confirmed_share` and `found_share` are 0 to 1, null where nothing is known."""

    name: str
    kind: Literal["sql", "python"]
    version: int
    mode: str
    severity: str
    finds: str
    limits: list[str]
    points: int | None
    last_day: int
    last_week: int
    confirmed: int
    dismissed: int
    confirmed_share: float | None
    found_share: float | None
    accounts: int | None


class RulePage(Model):
    """All rules."""

    rules: list[RuleOut]


class ModeIn(Model):
    """How the rule takes part from now on."""

    mode: Literal["active", "shadow", "off"]
    reason: str = WHY


class ModeOut(Model):
    """The mode before and now, and the statements that the SQL server was sent for it."""

    rule: str
    before: str
    mode: str
    statements: list[str]


@endpoint("GET", "/rules", needs="rules.read", gives=RulePage)
def rules(call: Call, given: Model) -> RulePage:
    """The catalogue: every rule with what it found."""
    with call.database() as connection:
        mode_of, figures = modes.modes_of(connection), figures_of(connection)
    found = []
    for rule in catalogue():
        seen = figures.get(rule.name) or Figures(rule.name)
        found.append(
            RuleOut(
                name=rule.name,
                kind=rule.kind,  # type: ignore[arg-type]
                version=rule.version,
                mode=mode_of.get(rule.name, ACTIVE),
                severity=rule.severity,
                finds=rule.finds,
                limits=list(rule.limits),
                points=rule.points,
                last_day=seen.day,
                last_week=seen.week,
                confirmed=seen.confirmed,
                dismissed=seen.dismissed,
                confirmed_share=seen.confirmed_share,
                found_share=seen.found_share,
                accounts=seen.accounts,
            )
        )
    return RulePage(rules=found)


@endpoint("POST", "/rules/{name}/mode", needs="rules.change", takes=ModeIn, gives=ModeOut)
def set_mode(call: Call, given: ModeIn) -> ModeOut:
    """Switch a rule while everything runs."""
    name = call.path["name"]
    if name not in {rule.name for rule in catalogue()}:
        raise NotFound(f"there is no rule {name[:80]}")
    with call.database() as connection:
        before, follows = store_mode(connection, name, given.mode, who=call.user, why=given.reason)
    statements = follow_mode(call.desk.settings, call.database, follows).statements if follows else []
    return ModeOut(rule=name, before=before, mode=given.mode, statements=statements)
