"""Replace rules without a gap and without a doubled alert: from now on, or from the beginning of their topics.

1. `rules.replacements.begin` stores from which offsets of transactions on the new rules decide: the ends of the topic.
2. The old rules read up to there, and so raise every alert that is theirs.
3. They are taken down. `rules.replacements.close` stores where their alerts end.
4. The new ones are sent. They read their topics from the beginning, so that windows and averages are exact; the consumer
   leaves out what they find before the offsets of step 1 (`consumer.replacements`).

A process that is killed leaves a replacement that is not finished; the same command again goes on with the same offsets. One
that fails before step 3 is cancelled, and the old rules go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kafka import KafkaAdminClient
from sqlalchemy import Connection

from streamguard.config import Settings
from streamguard.kafka.lags import ends_of
from streamguard.rules import replacements
from streamguard.rules.catalogue import CATALOGUE_FILE, sql_rules
from streamguard.rules.replacements import BEGINNING, Change
from streamguard.sqldeploy.deployed import note_deployed
from streamguard.sqldeploy.flow import Behind, upstream, wait_read
from streamguard.sqldeploy.run import LIVE, Outcome, Plan, Tell, lineage, running_text, topic_of
from streamguard.sqldeploy.script import DeployError, Item
from streamguard_ksql.ast import CreateAsSelect, InsertInto
from streamguard_ksql.formatter import format_statement

ALERTS = "FRAUD_ALERTS"
_DELETED_WITHIN_S = 30.0

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens one transaction on the database."""


@dataclass(frozen=True)
class Replacing:
    """What replacing rules needs beside the plan."""

    settings: Settings
    kafka: KafkaAdminClient
    transaction: Transaction
    start: str | None
    """`now` or `beginning`: the transactions from which on alerts of the new rules count. None asks for no limit: all that
    they find, but for what an earlier limit leaves out."""
    who: str
    reason: str
    tell: Tell = lambda _: None
    wait: Callable[[Behind], None] = lambda _: None


def is_rule(item: Item) -> bool:
    """Whether a statement is a query into the alerts."""
    return isinstance(item.statement, InsertInto) and item.statement.target == ALERTS


def rules_of(items: Sequence[Item]) -> dict[str, str]:
    """The names of the rules among statements, by their query ids in upper case.

    Raises DeployError for a rule that is not in the catalogue.
    """
    names = {str(rule.query_id).upper(): rule.name for rule in sql_rules()}
    found = {}
    for item in items:
        if is_rule(item):
            if item.name not in names:
                raise DeployError(
                    f"{item.file}:{item.line}: the query {item.name} into {ALERTS.lower()} has no line in"
                    f" ksqldb/{CATALOGUE_FILE}: add its rule there first"
                )
            found[item.name] = names[item.name]
    return found


def carry_out(plan: Plan, how: Replacing) -> list[Outcome]:
    """Take down what a plan replaces and send what is new, whose rules then count from `how.start` on.

    Raises DeployError, errors of the database and of Kafka. What was begun before and left is finished: of rules that are
    sent, it is continued; of rules that run as the plan wants, it is ended.
    """
    if how.start is not None:
        prepare(plan)
    rules = _known([item for item in plan.items if plan.begins(item)])
    names = set(rules.values())
    if how.start is None:
        _check_left(plan, names, how)
    _end_others(plan, rules, how)
    if how.start is not None and rules:
        _let_old_rules_read(plan, rules, how.start, how)
    plan.take_down()
    if plan.replaces:
        wait_deleted(
            how.kafka, [topic_of(item) for item in plan.affected if isinstance(item.statement, CreateAsSelect)]
        )
    with how.transaction() as connection:
        replacements.close(connection, names, lambda: ends_of(how.kafka, how.settings.alerts_topic))
    outcomes = plan.send(how.tell)
    with how.transaction() as connection:
        replacements.finish(connection, names)
    with how.transaction() as connection:
        note_deployed(connection, plan.server, outcomes, who=how.who)
    return outcomes


def _end_others(plan: Plan, rules: Mapping[str, str], how: Replacing) -> None:
    """End replacements that are not continued: the old rule goes on where it has not ended, else the new one was sent."""
    running = _running_rules(plan)
    with how.transaction() as connection:
        replacements.finish(connection, running)
        replacements.cancel(connection, running - set(rules.values()))


def _running_rules(plan: Plan) -> set[str]:
    """The rules of which the server runs every query that the files have."""
    queries, running = _known(plan.items), plan.server.queries()
    return set(queries.values()) - {name for query, name in queries.items() if query not in running}


def prepare(plan: Plan) -> None:
    """Add the other queries of the rules that are replaced to what is replaced, for a rule is replaced whole.

    Raises DeployError where a rule is not in the catalogue, where a query that is not in the files raises alerts under its
    name, and where a statement cannot be planned.
    """
    names = set(rules_of([item for item in plan.items if plan.begins(item)]).values())
    given, running = {item.name for item in plan.items}, plan.server.queries()
    siblings = {query for query, name in _known(plan.items).items() if name in names and query in running}
    plan.affected = [item for item in plan.items if item in plan.affected or item.name in siblings]
    for rule in sql_rules():
        query = str(rule.query_id).upper()
        if rule.name in names and query in running and query not in given:
            raise DeployError(
                f"the query {query} raises alerts of {rule.name} too and is not replaced: deploy {rule.file} as well, or end"
                f" it with `TERMINATE {query};`"
            )
    if plan.affected:
        # The engine plans the statements: a tenth of a second to import, which other commands need not pay.
        from streamguard.sqldeploy.trial import check_planned

        check_planned(plan.server, plan.items)


def _check_left(plan: Plan, names: Collection[str], how: Replacing) -> None:
    """Raise DeployError where a replacement was left and some of the rule's old queries still run: it has to be continued."""
    running = plan.server.queries()
    with how.transaction() as connection:
        left = {name for name in names if any(one.is_open for one in replacements.replacements_of(connection, name))}
    for rule in sql_rules():
        if rule.name in left and str(rule.query_id).upper() in running:
            raise DeployError(
                f"the replacement of {rule.name} was begun and is not finished: `streamguard deploy --replace` of the same"
                " files goes on with it"
            )


def wait_deleted(kafka: KafkaAdminClient, topics: Collection[str | None]) -> None:
    """Return once Kafka has none of the topics any more: it deletes them after it has said so. Raises DeployError."""
    deadline = time.monotonic() + _DELETED_WITHIN_S
    while left := set(topics) & set(kafka.list_topics()):
        if time.monotonic() > deadline:
            raise DeployError(f"Kafka still has the topic {min(map(str, left))}, which was deleted: repeat the command")
        time.sleep(0.05)


def _known(items: Sequence[Item]) -> dict[str, str]:
    names = {str(rule.query_id).upper(): rule.name for rule in sql_rules()}
    return {item.name: names[item.name] for item in items if is_rule(item) and item.name in names}


def _let_old_rules_read(plan: Plan, rules: Mapping[str, str], start: str, how: Replacing) -> None:
    """Steps 1 and 2; what fails leaves no replacement."""
    topic = how.settings.transactions_topic
    changes = {
        name: _change(plan, [query for query, of in rules.items() if of == name], how) for name in rules.values()
    }
    with how.transaction() as connection:
        offsets = replacements.begin(connection, changes, start, lambda: ends_of(how.kafka, topic))
    if start == BEGINNING:
        return
    try:
        for query, name in rules.items():
            flows = upstream(plan.server, [query], topic)
            servers = how.settings.kafka
            wait_read(how.kafka, servers, flows, (topic, offsets[name]), how.wait)
    except Exception:
        # Only where the old rule still runs: else its alerts end with what it has written, whatever comes next.
        running = _running_rules(plan)
        with how.transaction() as connection:
            replacements.cancel(connection, running & changes.keys())
        raise


def _change(plan: Plan, queries: Collection[str], how: Replacing) -> Change:
    """Of one rule, which may have several queries."""
    parts = [item for item in lineage(plan.items, queries) if item.name not in LIVE]
    before = [text for item in parts if (text := running_text(plan.server, item)) is not None]
    after = [format_statement(item.statement) for item in parts]
    return Change(how.reason, how.who, "\n".join(before) or None, "\n".join(after))
