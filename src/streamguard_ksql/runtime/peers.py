"""What an engine asks the others of its service for: rows of tables that are in their state, and their figures.

Over HTTP, from their REST API's `/peers/...`, in MessagePack, whose values keep their types; with the login of whom the
question comes from.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import requests

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.state import decode, encode
from streamguard_ksql.runtime.api import PartitionOffsets, QueryStats
from streamguard_ksql.runtime.sharing import Member, Membership

log = logging.getLogger(__name__)

PULL, STATS = "/peers/pull", "/peers/stats"
ROWS_S, STATS_S = 10.0, 3.0
"""How long an answer may take; figures are shown without those that do not come."""


class PeerError(KsqlError):
    """Another engine has not answered, or has not what it is asked for (any more)."""


def rows(
    member: Member, slots: Collection[int], text: str, properties: Mapping[str, Any], authorization: str | None
) -> list[Sequence[Any]]:
    """The rows of a pull query that another engine has in these slots. Raises PeerError."""
    question = {"sql": text, "properties": dict(properties), "slots": sorted(slots)}
    found: list[Sequence[Any]] = _ask(member, PULL, question, authorization, ROWS_S)
    return found


def stats(member: Member, authorization: str | None) -> dict[str, QueryStats]:
    """What another engine's part of each query has done. Raises PeerError."""
    found = _ask(member, STATS, {}, authorization, STATS_S)
    return {query_id: _stats(one) for query_id, one in found.items()}


def with_others(
    mine: dict[str, QueryStats], membership: Membership | None, authorization: str | None
) -> dict[str, QueryStats]:
    """What the queries have done here and in all other engines of the service that answer."""
    found = dict(mine)
    for member in () if membership is None else membership.members():
        if membership is None or member.name == membership.name:
            continue
        try:
            theirs = stats(member, authorization)
        except PeerError as error:
            log.warning("figures are without those of %s: %s", member.name, error)
            continue
        for query_id, other in theirs.items():
            if query_id in found:
                found[query_id] = added(found[query_id], other)
    return found


def packed_stats(found: Mapping[str, QueryStats]) -> bytes:
    """The answer to `stats`."""
    return encode({query_id: asdict(one) for query_id, one in found.items()})


def _stats(found: dict[str, Any]) -> QueryStats:
    offsets = {topic: [PartitionOffsets(**place) for place in places] for topic, places in found.pop("offsets").items()}
    return QueryStats(**found, offsets=offsets)


def added(mine: QueryStats, other: QueryStats) -> QueryStats:
    """What two engines' parts of a query have done together."""
    both = (mine, other)
    return QueryStats(
        next((one.state for one in both if one.state != "RUNNING"), "RUNNING"),
        **{name: getattr(mine, name) + getattr(other, name) for name in _SUMS},
        last_message_ms=max((one.last_message_ms for one in both if one.last_message_ms is not None), default=None),
        group_id=mine.group_id,
        failure=mine.failure or other.failure,
        failed_ms=mine.failed_ms or other.failed_ms,
        offsets={
            topic: sorted((*mine.offsets.get(topic, ()), *other.offsets.get(topic, ())), key=lambda at: at.partition)
            for topic in {**mine.offsets, **other.offsets}
        },
        skipped={
            reason: mine.skipped.get(reason, 0) + other.skipped.get(reason, 0)
            for reason in {**mine.skipped, **other.skipped}
        },
        uncommitted_s=max(one.uncommitted_s for one in both),
        event_lag_s=max((one.event_lag_s for one in both if one.event_lag_s is not None), default=None),
    )


_SUMS = ("consumed", "consumed_bytes", "produced", "errors", "state_entries", "state_bytes")


def _ask(member: Member, path: str, question: Mapping[str, Any], authorization: str | None, timeout_s: float) -> Any:
    headers = {} if authorization is None else {"authorization": authorization}
    try:
        answer = requests.post(member.address + path, data=encode(question), headers=headers, timeout=timeout_s)
    except requests.RequestException as error:
        raise PeerError(
            f"The engine {member.name} at {member.address}, which has a part of the table, does not answer"
            f" ({type(error).__name__}): try again in a moment."
        ) from None
    if answer.status_code != 200:
        raise PeerError(f"The engine {member.name} at {member.address} has refused: {_reason(answer)}")
    return decode(answer.content)


def _reason(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
