"""The SQL files, and the SQL engine against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from streamguard.config.errors import UserError
from streamguard.config.resources import source_files
from streamguard.rules.catalogue import sql_files
from streamguard.sinks.chosen import sql_of_all
from streamguard.sqldeploy import DeployError, plan, variables_of
from streamguard.sqldeploy.run import DIFFERENT
from streamguard.sqldeploy.script import Item
from streamguard.sqldeploy.trial import check_planned
from streamguard.stack.doctor.base import ENGINE, Finding, Surroundings, check, from_health, halves
from streamguard.stack.health import engine as health
from streamguard.stack.readiness import ksqldb_probe


@check("SQL files")
def files(around: Surroundings) -> Iterator[Finding]:
    """Files of the catalogue and of foreign topics that cannot be read."""
    try:
        names = [*sql_files(), *sql_of_all(), *source_files()]
    except UserError as error:
        yield Finding(str(error), "mend ksqldb/rules.yaml, or remove it to have the packaged one")
        return
    for file in names:
        try:
            health.statements(file, variables_of(around.settings))
        except DeployError as error:
            yield Finding(str(error), f"mend {file}, or remove it to have the packaged one")


@check("SQL engine")
def answers(around: Surroundings) -> Iterator[Finding]:
    """Address, TLS and login; what waiting does not mend is a finding also where nothing runs."""
    if around.parts.engine is not None:
        return
    problem = ksqldb_probe(around.settings)
    if around.parts.engine_terminated:
        yield from from_health(health.terminated, around)
    elif problem is not None and problem.permanent:
        yield halves(str(problem), "see KSQLDB_URL")
    elif around.should_answer("ksqldb"):
        yield from from_health(health.unavailable, around)


@check("SQL on the server", ENGINE)
def deployed(around: Surroundings) -> Iterator[Finding]:
    """Queries that are missing, failed or paused against the mode of their rule."""
    if not around.should_answer("ksqldb"):
        return
    for run in (health.failed, health.other_mode, health.rule_missing, health.source_missing):
        yield from from_health(run, around)


@check("SQL files against the server", ENGINE)
def different(around: Surroundings) -> Iterator[Finding]:
    """Statements that run in another version than their file has, and changes that could not be planned."""
    try:
        items = [
            item
            for file in [*sql_files(), *sql_of_all()]
            for item in health.statements(file, variables_of(around.settings))
        ]
        shared = Counter(item.name for item in items)
        there = {*around.engine.topics(), *around.engine.queries()}
        made = plan(around.engine, [item for item in items if item.name in there])
    except UserError:
        return  # the check of the files says so
    changed = [item for item in made.items if made.status(item) == DIFFERENT]
    for item in {item.name: item for item in changed}.values():
        also = " and others" if shared[item.name] > 1 else ""
        yield Finding(
            f"{item.name} of {item.file}{also} runs in another version than the file has",
            f"`streamguard deploy --replace {item.file}`, or put into the file what runs",
        )
    yield from _unplanned(around, changed)


def _unplanned(around: Surroundings, changed: list[Item]) -> Iterator[Finding]:
    try:
        check_planned(around.engine, changed)
    except DeployError as error:
        yield Finding(str(error), "mend the statement: the server would reject it")
