"""Consumer groups: who reads what, how far behind, and moving one that nobody reads with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafka import TopicPartition
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.brokers import cluster, is_behind, reads_kafka
from streamguard.desk.cluster import ClusterHistory, history_of
from streamguard.desk.look import place_time_ms
from streamguard.desk.pages.queue import page_of
from streamguard.desk.render import link
from streamguard.desk.site import NotFound, Visit, route
from streamguard.kafka.overview import GroupFacts, groups_of
from streamguard.kafka.resets import IDLE_STATES, Move, apply_reset, plan_reset, target_of
from streamguard.users import audit

PAGE = 100
WAYS = ("earliest", "latest", "time", "offset")


@route("GET", "/groups", needs="topics.read")
@reads_kafka
def groups(visit: Visit) -> Response:
    """All groups, those that are furthest behind first; `q` is a part of the name."""
    words, page = visit.query.get("q", "").lower(), page_of(visit)
    with cluster(visit) as client:
        found = groups_of(client)
    listed = sorted((g for g in found if words in g.name.lower()), key=lambda g: (-g.lag, g.name))
    return visit.page(
        "groups.html",
        groups=listed[(page - 1) * PAGE : page * PAGE],
        count=len(listed),
        more=len(listed) > page * PAGE,
        page=page,
        q=visit.query.get("q", ""),
        ever=bool(found),
        history=_history(visit).lag_of,
        behind=_behind(visit),
    )


@route("GET", "/groups/{name:path}", needs="topics.read")
@reads_kafka
def group(visit: Visit) -> Response:
    """One group: its members, its lag by partition, and the form that moves it."""
    return visit.page("group.html", **_values(visit, visit.path["name"]), plan=None, to="", topic="")


@route("POST", "/group/plan", needs="topics.change")
@reads_kafka
def plan(visit: Visit) -> Response:
    """Where a reset would move a group; nothing is changed."""
    name, topic, way = visit.text("group"), visit.text("topic"), visit.text("way")
    to = target_words(way, visit.text("value"))
    with cluster(visit) as client:
        moves = plan_reset(client, name, topic, target_of(to), _numbers(visit.text("partition")))
    said = f"{way} {visit.text('value')}".strip()
    return visit.page("group.html", **_values(visit, name), plan=moves, to=said, topic=topic)


@route("POST", "/group/reset", needs="topics.change")
@reads_kafka
def reset(visit: Visit) -> Response:
    """Move a group as it was shown: fields `move` of `partition:before:after`, `before` empty where there was none."""
    name, topic, reason = visit.text("group"), visit.text("topic"), visit.reason()
    moves = [_move(topic, str(words)) for words in visit.form.getlist("move")]
    if not moves:
        raise UserError("nothing to move was sent: choose where to, and look at it first")
    with visit.database() as connection, cluster(visit) as client:
        apply_reset(client, name, moves)
        audit.note(
            connection,
            visit.user,
            "topics.change",
            f"group {name} in {topic}",
            reason=reason,
            before={str(move.partition.partition): move.before for move in moves},
            after={str(move.partition.partition): move.after for move in moves},
        )
    return visit.to(link("groups", name))


def _history(visit: Visit) -> ClusterHistory:
    return history_of(visit.desk.settings.kafka)


def _behind(visit: Visit) -> Callable[[int, Iterable[str]], bool]:
    """Whether a lag in some topics is more than what is on its way."""
    history = _history(visit)
    return lambda lag, topics: is_behind(lag, sum(history.rate_of(topic) or 0.0 for topic in topics))


def _values(visit: Visit, name: str) -> dict[str, Any]:
    with cluster(visit) as client:
        found = groups_of(client, [name])
    if not found:
        raise NotFound(f"there is no group {name}")
    facts: GroupFacts = found[0]
    return {
        "group": facts,
        "behind": _behind(visit),
        "samples": _history(visit).lag_of(name),
        "idle": facts.state in IDLE_STATES and not facts.members,
        "is_application": name == visit.desk.settings.consumer_group,
        "ways": WAYS,
    }


def target_words(way: str, value: str) -> str:
    """Where to, as `target_of` takes it. Raises UserError."""
    if way in ("earliest", "latest"):
        return way
    if way == "offset" and value.isdecimal():
        return value
    if way == "time":
        return f"@{place_time_ms(value)}"
    raise UserError(f"{value[:40]!r} is no offset: a whole number is needed" if way == "offset" else "choose where to")


def _numbers(words: str) -> list[int]:
    if words and not (words.isdecimal() and len(words) < 10):
        raise UserError(f"{words[:20]!r} is no partition: a number is needed, or nothing for all")
    return [int(words)] if words else []


def _move(topic: str, words: str) -> Move:
    partition, _, rest = words.partition(":")
    before, _, after = rest.partition(":")
    if not (partition.isdecimal() and after.isdecimal() and (before.isdecimal() or not before)) or len(words) > 60:
        raise UserError(f"{words[:40]!r} is no move: look at the reset again")
    return Move(TopicPartition(topic, int(partition)), int(before) if before else None, int(after))
