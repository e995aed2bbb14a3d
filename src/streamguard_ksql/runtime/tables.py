"""Pull queries over tables that queries keep: the rows here, and those that other engines of the service have.

1. `Tables.rows` takes the rows here, and asks each engine that has another part, naming the slots that it takes it to have.
2. That one answers by `Tables.part`, and refuses if it has them no longer.
3. If this engine's own slots have changed meanwhile, all is asked again: every part counts once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.base import ProcessingError
from streamguard_ksql.planning.planner import PlannedQuery
from streamguard_ksql.runtime import clients, peers, pull
from streamguard_ksql.runtime.query import QueryRunner
from streamguard_ksql.runtime.sharing import Member, Membership, by_slot

Row = Sequence[Any]
TRIES = 3
MOVING = "The table's parts are being given to other engines: try again in a moment."


@dataclass(frozen=True)
class Asked:
    """What other engines are asked: the statement, its properties, and the header with the login of who asks."""

    text: str
    properties: Mapping[str, Any]
    authorization: str | None


def pull_id() -> str:
    return f"query_{int(time.time() * 1000)}"


class Tables:
    """Answers pull queries. `bounded` limits what one may take; `report` is the processing log."""

    def __init__(
        self,
        membership: Membership | None,
        bounded: Callable[[str], AbstractContextManager[None]],
        report: Callable[[ProcessingError], None],
    ) -> None:
        self._membership = membership
        self._bounded = bounded
        self._report = report

    def rows(self, planned: PlannedQuery, query: ast.Query, runner: QueryRunner, asked: Asked) -> list[Row]:
        """All rows of the result. Raises KsqlError where a part of the table cannot be had at the moment."""
        membership = self._membership
        if membership is None:
            return self._here(planned, query, runner)
        for _ in range(TRIES):
            mine = membership.slots
            if mine is None:
                break
            found = self._here(planned, query, runner)
            for member, slots in _others(membership, runner, mine):
                found += peers.rows(member, slots, asked.text, asked.properties, asked.authorization)
            if membership.slots is mine:
                return found if query.limit is None else found[: query.limit]
        raise KsqlError(MOVING)

    def part(self, planned: PlannedQuery, query: ast.Query, runner: QueryRunner, slots: Collection[int]) -> list[Row]:
        """The rows here, for another engine, which takes these slots for ours. Raises KsqlError where they are not."""
        mine = None if self._membership is None else self._membership.slots
        if mine is None or not mine.issuperset(slots):
            raise KsqlError(MOVING)
        found = self._here(planned, query, runner)
        if self._membership is None or self._membership.slots is not mine:
            raise KsqlError(MOVING)
        return found

    def _here(self, planned: PlannedQuery, query: ast.Query, runner: QueryRunner) -> list[Row]:
        name = planned.source_names[0]
        if not runner.ready.wait(clients.TIMEOUT_S):
            raise KsqlError(f"The table {name} is being restored: try again in a moment.")
        with runner.lock:
            if runner.topology is None:
                if runner.holding.is_elsewhere:
                    return []
                raise KsqlError(f"The query that fills {name} is being restarted: try again in a moment.")
            with self._bounded(pull_id()):
                return pull.answer(planned, query, runner.topology, self._report)


def _others(membership: Membership, runner: QueryRunner, mine: frozenset[int]) -> list[tuple[Member, list[int]]]:
    """The other engines that have a part of a query, with the slots of it. KsqlError while some part is nobody's."""
    wanted = [slot for slot in runner.holding.slots() if slot not in mine]
    having = by_slot(membership.members()) if wanted else {}
    found: dict[str, tuple[Member, list[int]]] = {}
    for slot in wanted:
        member = having.get(slot)
        if member is None or member.name == membership.name:
            raise KsqlError(MOVING)
        found.setdefault(member.name, (member, []))[1].append(slot)
    return list(found.values())
