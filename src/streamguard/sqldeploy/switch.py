"""A rule is switched to another mode while everything runs: stored first, then the query of a SQL rule follows.

What the command line and the desk both do. A change of mode takes effect with the next batch of the consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection

from streamguard.config import Settings, UserError
from streamguard.rules import modes
from streamguard.rules.catalogue import SQL, Rule
from streamguard.rules.decide import OFF
from streamguard.sqldeploy.modes import follow
from streamguard.sqldeploy.state import Server

_SERVER_TIMEOUT_S = 20.0


class NotFollowed(UserError):
    """The mode is stored, and the query of the rule does not follow it yet."""


@dataclass(frozen=True)
class Followed:
    """The statements that were sent, and the file to deploy where the server runs no query of the rule."""

    statements: list[str]
    missing: str | None = None


def store_mode(connection: Connection, rule: str, mode: str, *, who: str, why: str) -> tuple[str, list[Rule]]:
    """Store a mode; returns the one before, and the SQL rules whose queries have to follow. Raises NoSuchRule."""
    before = modes.set_mode(connection, rule, mode, who=who, why=why)
    rules = [known for known in modes.rules_named(connection, rule) if known.kind == SQL]
    # Between active and shadow a query does not change; the same mode again is how a broken switch is finished.
    return before, rules if OFF in (before, mode) or before == mode else []


def follow_mode(
    settings: Settings, transaction: Callable[[], AbstractContextManager[Connection]], rules: Sequence[Rule]
) -> Followed:
    """Let the queries of one rule follow the mode that is stored by now; raises NotFollowed."""
    name = rules[0].name
    server = Server(settings.ksqldb, timeout_s=_SERVER_TIMEOUT_S)
    with transaction() as connection:
        mode = modes.modes_of(connection).get(name)
    try:
        statements = follow(server, {} if mode is None else {name: mode}, always=True)
        there = server.states().keys()
    except UserError as error:
        raise NotFollowed(
            f"the mode of {name} is stored, and its query does not follow yet ({error}): repeat the command, or"
            " `streamguard deploy`, when the server answers"
        ) from None
    is_missing = mode != OFF and not any(str(rule.query_id).upper() in there for rule in rules)
    return Followed(statements, rules[0].file if is_missing else None)
