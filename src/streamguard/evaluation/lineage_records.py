"""What the topics know of the way of a transaction: when its records were written, and where its decisions were sent to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from streamguard.config import Settings
from streamguard.consumer.judge import from_ms
from streamguard.evaluation.lineage import Place, Step
from streamguard.kafka.browse import Browser
from streamguard.kafka.messages import Contains, Message, NoSuchTopic

_BEFORE_MS = 5_000
"""A record cannot be older than its decision, but for clocks that differ."""
_MOST_RECORDS = 200_000
"""So many records are looked at for the one of a decision; it is sent within a second where nothing holds it up."""


def with_records(settings: Settings, steps: Sequence[Step]) -> list[Step]:
    """The steps with the times of their records and the places of sent decisions, as far as the topics still have them.

    Raises KafkaError.
    """
    times = _times(settings, {step.place for step in steps if step.place is not None and step.step == "produced"})
    sent = iter(_sent(settings, [step for step in steps if step.step == "sent"]))
    found = []
    for step in steps:
        if step.step == "sent":
            found.append(next(sent))
        elif step.step == "produced" and step.place is not None:
            at = times.get(step.place)
            gone = "" if at is not None else "; the topic has the record no more"
            found.append(replace(step, at=at, said=step.said + gone))
        else:
            found.append(step)
    return found


def _times(settings: Settings, places: set[Place]) -> dict[Place, datetime]:
    by_topic: dict[str, set[Place]] = defaultdict(set)
    for place in places:
        by_topic[place[0]].add(place)
    found: dict[Place, datetime] = {}
    for topic, wanted in by_topic.items():
        for browser in _browser(settings, topic):
            for place in wanted:
                message = browser.one(place[1], place[2])
                if message is not None and message.timestamp_ms is not None:
                    found[place] = from_ms(message.timestamp_ms)
    return found


def _browser(settings: Settings, topic: str) -> Iterator[Browser]:
    """One, or none where there is no such topic any more."""
    try:
        browser = Browser(settings.kafka, topic)
    except NoSuchTopic:
        return
    with browser:
        yield browser


def _sent(settings: Settings, steps: Sequence[Step]) -> list[Step]:
    found = []
    for browser in _browser(settings, settings.decisions_topic) if steps else ():
        for step in steps:
            message = _record_of(browser, step)
            if message is None:
                found.append(
                    replace(
                        step, said=f"not found in {settings.decisions_topic}: it waits in the outbox, or is no more"
                    )
                )
                continue
            place = (message.topic, message.partition, message.offset)
            found.append(replace(step, at=from_ms(message.timestamp_ms or 0), place=place))
    return found or list(steps)


def _record_of(browser: Browser, step: Step) -> Message | None:
    decided_ms = int(step.facts["decided_at"].timestamp() * 1000)
    at: dict[int, int] = browser.at_time(decided_ms - _BEFORE_MS)
    examined = 0
    while at and examined < _MOST_RECORDS:
        looked = browser.forward(at, Contains(value=str(step.alert_id)), 50)
        for message in looked.messages:
            whole = browser.one(message.partition, message.offset)
            if whole is not None and _is_of(step, decided_ms, whole):
                return whole
        examined, at = examined + looked.examined, looked.next
    return None


def _is_of(step: Step, decided_ms: int, message: Message) -> bool:
    try:
        value: Any = orjson.loads(message.value or b"")
    except orjson.JSONDecodeError:
        return False
    if not isinstance(value, dict) or not isinstance(value.get("decided_at"), int):
        return False
    # The record has whole milliseconds, rounded by the database.
    if abs(value["decided_at"] - decided_ms) > 1:
        return False
    wanted = {"alert_id": step.alert_id}
    wanted |= {name: step.facts[name] for name in ("tx_count", "decided_by", "outcome")}
    return all(value.get(name) == given for name, given in wanted.items())
