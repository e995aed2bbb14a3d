"""A shadow from its first statement to its end: deployed, then promoted or dropped; each of them can be repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamguard.kafka.topics import ensure_topics
from streamguard.rules.modes import modes_of
from streamguard.sqldeploy import journal
from streamguard.sqldeploy.journal import DROPPED, DROPPING, PROMOTED, PROMOTING, RUNNING, Shadow
from streamguard.sqldeploy.modes import off_queries
from streamguard.sqldeploy.replace import Replacing, carry_out, prepare, wait_deleted
from streamguard.sqldeploy.run import Outcome, plan, topics_of_items
from streamguard.sqldeploy.script import DeployError, Item, StatementRejected, read_text
from streamguard.sqldeploy.shadow import shadow_of, shadow_topics, traces_of
from streamguard.sqldeploy.state import Rejected, Server


def deploy_shadow(
    server: Server, how: Replacing, files: Sequence[Path], definitions: Mapping[str, str]
) -> list[Outcome]:
    """Run files beside what runs. The same files again finish what is not there yet, others take the place of the shadow.

    What the server rejects leaves no shadow. Raises DeployError, also where a promotion was begun.
    """
    texts = journal.texts_of(files)
    items = [item for file in texts for item in read_text(Path(file["name"]), file["text"], definitions)]
    statements = shadow_of(server, how.settings, items)
    with how.transaction() as connection:
        shadow = journal.open_shadow(connection)
    if shadow is not None and shadow.state == PROMOTING:
        raise DeployError(_begun(shadow))
    if shadow is not None and not (shadow.state == RUNNING and shadow.is_of(texts, definitions)):
        drop(server, how, shadow)
        # Sources that the shadow had made of its own may be those of the server by now, and the other way round.
        statements, shadow = shadow_of(server, how.settings, items), None
    if shadow is None:
        with how.transaction() as connection:
            shadow = journal.note(connection, texts, definitions, who=how.who, reason=how.reason)
    ensure_topics(how.settings, extra=topics_of_items(statements))
    try:
        made = plan(server, statements)
        made.take_down()
        return made.send(how.tell)
    except StatementRejected:
        drop(server, dataclasses.replace(how, reason="it could not be deployed"), shadow)
        raise


def promote(server: Server, how: Replacing, shadow: Shadow) -> list[Outcome]:
    """Make the files of a shadow those that run, with alerts from `how.start` on, and remove the shadow. Raises DeployError.

    What fails before the live rules are touched leaves both as they were.
    """
    if shadow.state == DROPPING:
        raise DeployError(
            f"the shadow of {shadow.names} was being dropped: `streamguard rules drop-shadow` finishes that"
        )
    items = shadow.items()
    if shadow.state == RUNNING and (missing := _missing(server, how, items)):
        raise DeployError(
            f"the shadow of {shadow.names} lacks {missing[0]}: `streamguard deploy --shadow` of the same files finishes it"
        )
    with how.transaction() as connection:
        off = off_queries(modes_of(connection))
    live = plan(server, items, replace=True, off=off)
    prepare(live)
    with how.transaction() as connection:
        journal.change(connection, shadow, PROMOTING, who=how.who, reason=how.reason)
    ensure_topics(how.settings, extra=topics_of_items(items))
    try:
        outcomes = carry_out(live, how)
    except DeployError:
        untouched = plan(server, items, off=off)
        if live.statuses == untouched.statuses:
            with how.transaction() as connection:
                journal.change(connection, shadow, RUNNING)
        raise
    _remove(server, how, items)
    with how.transaction() as connection:
        journal.change(connection, shadow, PROMOTED)
    return outcomes


def drop(server: Server, how: Replacing, shadow: Shadow) -> None:
    """Remove a shadow with its topics. Raises DeployError, also where a promotion was begun."""
    if shadow.state == PROMOTING:
        raise DeployError(_begun(shadow))
    with how.transaction() as connection:
        journal.change(connection, shadow, DROPPING, who=how.who, reason=how.reason)
    _remove(server, how, shadow.items())
    with how.transaction() as connection:
        journal.change(connection, shadow, DROPPED)


def _missing(server: Server, how: Replacing, items: Sequence[Item]) -> list[str]:
    made = plan(server, shadow_of(server, how.settings, items))
    return [item.name for item in made.items if made.begins(item)]


def _remove(server: Server, how: Replacing, items: Sequence[Item]) -> None:
    try:
        for kind, name, with_topic in traces_of(items):
            if kind == "query":
                if name in server.queries():
                    server.execute(f"TERMINATE {name};")
            elif server.definition(name) is not None:
                topic = " DELETE TOPIC" if with_topic else ""
                server.execute(f"DROP {kind.upper()} IF EXISTS `{name}`{topic};")
    except Rejected as error:
        raise DeployError(f"the shadow cannot be removed: {error}") from None
    left = shadow_topics(items) & set(how.kafka.list_topics())
    if left:
        # Of a shadow whose source was dropped already, or never made.
        how.kafka.delete_topics(sorted(left), raise_errors=False)
    wait_deleted(how.kafka, left)


def _begun(shadow: Shadow) -> str:
    return f"the promotion of {shadow.names} was begun: `streamguard rules promote` finishes it"
