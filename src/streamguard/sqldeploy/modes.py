"""The queries of SQL rules follow the modes of the rules: off pauses a query, active and shadow let it go on.

`PAUSE` keeps a query with its offsets and state, and `RESUME` continues with the first record that it has not read;
after `TERMINATE` its group and state are gone, and it would read its topics, and raise all of its alerts, again.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamguard.rules.catalogue import sql_rules
from streamguard.rules.decide import OFF
from streamguard.sqldeploy.script import DeployError
from streamguard.sqldeploy.state import Rejected, Server

PAUSED = "PAUSED"


def off_queries(modes: Mapping[str, str]) -> frozenset[str]:
    """The ids, in upper case, of the queries of SQL rules that are off; `modes` by the names of rules."""
    return frozenset(query_id for query_id, mode in _wanted(modes).items() if mode == OFF)


def differing(modes: Mapping[str, str], states: Mapping[str, str]) -> dict[str, str]:
    """The queries that do not follow the mode of their rule, with the statement that they need.

    `states` has the state of each query of the server, by its id in upper case. A rule whose mode was never set is left
    out: what somebody has paused by hand stays paused.
    """
    found = {}
    for query_id, mode in _wanted(modes).items():
        state = states.get(query_id)
        if state is not None and (mode == OFF) != (state == PAUSED):
            found[query_id] = _statement(query_id, mode)
    return found


def follow(server: Server, modes: Mapping[str, str], *, always: bool = False) -> list[str]:
    """Pause and resume what differs; returns the statements that were sent. Raises DeployError.

    With `always` whatever state the server shows: a statement that changes nothing is none too many.
    """
    try:
        states = server.states()
        every = {
            query_id: _statement(query_id, mode) for query_id, mode in _wanted(modes).items() if query_id in states
        }
        statements = list((every if always else differing(modes, states)).values())
        for statement in statements:
            server.execute(statement)
    except Rejected as error:
        raise DeployError(f"the ksqlDB server does not let a query follow the mode of its rule: {error}") from None
    return statements


def _statement(query_id: str, mode: str) -> str:
    return f"{'PAUSE' if mode == OFF else 'RESUME'} {query_id};"


def _wanted(modes: Mapping[str, str]) -> dict[str, str]:
    return {str(r.query_id).upper(): modes[r.name] for r in sql_rules() if r.name in modes}
