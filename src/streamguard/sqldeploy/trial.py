"""Whether statements can be planned, found out without the server: before what runs is taken down for them.

The embedded engine plans them in memory, over the server's definitions of the sources that they read and do not make.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamguard.sqldeploy.run import sources_of
from streamguard.sqldeploy.script import DeployError, Item
from streamguard.sqldeploy.state import Server
from streamguard_ksql.ast import CreateAsSelect, CreateSource, InsertInto, Statement
from streamguard_ksql.engine import Engine
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.testing.harness import MemoryTopics


def check_planned(server: Server, items: Sequence[Item]) -> None:
    """Raise DeployError with file, line and the reason for the first statement that cannot be planned."""
    engine = Engine(MemoryTopics())
    made: set[str] = set()
    for item in items:
        target = {item.statement.target} if isinstance(item.statement, InsertInto) else set()
        for name in sorted((sources_of(item.statement) | target) - made):
            _define(server, engine, name, made)
        if item.name in made:
            continue  # The same source in several files.
        try:
            engine.execute(item.statement)
        except KsqlError as error:
            raise DeployError(f"{item.file}:{item.line}: {item.name} cannot be planned: {error.message}") from None
        made.add(item.name)


def _define(server: Server, engine: Engine, name: str, made: set[str]) -> None:
    """Define a source as the server has it, what it reads first. One that is unknown is left to the planner to name."""
    made.add(name)
    text = server.definition(name)
    if text is None:
        return
    try:
        statement: Statement = parse_statement(text)
        if isinstance(statement, CreateAsSelect):
            for source in sorted(sources_of(statement) - made):
                _define(server, engine, source, made)
        assert isinstance(statement, CreateSource | CreateAsSelect)
        engine.execute(statement)
    except KsqlError:
        return
