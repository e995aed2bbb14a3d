"""The ids of commands, as ksqlDB forms them: stream/`NAME`/create, table/NAME/drop, terminate/ID/execute."""

from __future__ import annotations

from streamguard_ksql import ast
from streamguard_ksql.engine import Outcome
from streamguard_ksql.statements.registry import command_ids


def command_id(statement: ast.Statement, outcome: Outcome | None) -> str:
    """The id of a statement's command, from what its module registered."""
    identify = command_ids.find(type(statement))
    if identify is None:
        return f"{type(statement).__name__.lower()}//execute"
    found: str = identify(statement, outcome)
    return found
