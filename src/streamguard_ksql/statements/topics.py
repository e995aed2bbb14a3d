"""SHOW TOPICS, PRINT, ASSERT TOPIC."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.formatter import format_properties, format_timeout, format_topic, words_if
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import ASSERTION_FAILED, RestError
from streamguard_ksql.server.execution import INTERNAL_PREFIX, Context
from streamguard_ksql.server.properties import settings
from streamguard_ksql.statements.registry import builds, executes, prints

ASSERT_TIMEOUT = "ksql.assert.topic.default.timeout.ms"
ASSERT_POLL_S = 0.1
HIDDEN_TOPICS = "ksql.hidden.topics"

builds("print_topic")(ast.PrintTopic)


@prints(ast.PrintTopic)
def _(statement: ast.PrintTopic) -> str:
    parts = [f"PRINT {format_topic(statement.topic)}", *["FROM BEGINNING"] * statement.from_beginning]
    parts += [] if statement.interval is None else [f"INTERVAL {statement.interval}"]
    parts += [] if statement.limit is None else [f"LIMIT {statement.limit}"]
    return " ".join(parts)


# --- SHOW TOPICS ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListTopics(ast.Reading):
    """SHOW [ALL] TOPICS [EXTENDED]: with `all` those of the engine and the hidden ones too."""

    extended: bool = False
    all: bool = False


@builds("list_topics")
def _list_topics(everything: bool, extended: bool) -> ListTopics:
    return ListTopics(extended, everything)


@prints(ListTopics)
def _(statement: ListTopics) -> str:
    return f"LIST {words_if(statement.all, 'ALL ')}TOPICS{words_if(statement.extended, ' EXTENDED')}"


@executes(ListTopics)
def _topics(statement: ListTopics, context: Context) -> list[Entity]:
    topics = context.runtime.topics(extended=statement.extended)
    if not statement.all:
        hidden = _hidden_topics(context)
        topics = [t for t in topics if not t.name.startswith(INTERNAL_PREFIX) and not hidden.fullmatch(t.name)]
    return [entities.topic_list(statement.text, topics, extended=statement.extended)]


def _hidden_topics(context: Context) -> re.Pattern[str]:
    configured = context.runtime.config_value(HIDDEN_TOPICS) or settings()[HIDDEN_TOPICS].default or ""
    return re.compile("|".join(f"(?:{pattern.strip()})" for pattern in str(configured).split(",")))


# --- ASSERT TOPIC -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AssertTopic(ast.Reading):
    """ASSERT [NOT EXISTS] TOPIC name [WITH (properties)] [TIMEOUT duration]."""

    topic: str
    properties: ast.Properties
    timeout: ast.Duration | None = None
    exists: bool = True


@builds("assert_topic")
def _assert_topic(exists: bool, topic: str, properties: ast.Properties, timeout: ast.Duration | None) -> AssertTopic:
    return AssertTopic(topic, properties, timeout, exists)


@prints(AssertTopic)
def _(statement: AssertTopic) -> str:
    start = f"ASSERT {words_if(not statement.exists, 'NOT EXISTS ')}TOPIC {format_topic(statement.topic)}"
    return f"{start}{format_properties(statement.properties)}{format_timeout(statement.timeout)}"


@executes(AssertTopic)
def _await_topic(statement: AssertTopic, context: Context) -> list[Entity]:
    """Wait for a topic to be there (or not to be) as described; 417 if it is not within the timeout."""
    configured = context.runtime.config_value(ASSERT_TIMEOUT) or settings()[ASSERT_TIMEOUT].default or 0
    timeout_ms = int(configured) if statement.timeout is None else statement.timeout.ms
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        difference = _topic_difference(statement, context)
        if difference is None:
            return [entities.asserted_topic(statement.text, statement.topic, exists=statement.exists)]
        if time.monotonic() >= deadline:
            raise RestError(difference, code=ASSERTION_FAILED)
        time.sleep(ASSERT_POLL_S)


def _topic_difference(statement: AssertTopic, context: Context) -> str | None:
    found = next((t for t in context.runtime.topics(extended=False) if t.name == statement.topic), None)
    if not statement.exists:
        return None if found is None else f"Topic {statement.topic} exists"
    if found is None:
        return f"Topic {statement.topic} does not exist"
    actual = {"PARTITIONS": len(found.replicas), "REPLICAS": found.replicas[0] if found.replicas else 0}
    wrong = []
    for name, expected in statement.properties.items():
        if name not in actual:
            wrong.append(f"Cannot assert unknown topic property: {name}")
        elif actual[name] != int(expected):
            wrong.append(
                f"Mismatched configuration for topic {statement.topic}: For config {name.lower()}, expected {expected} "
                f"got {actual[name]}"
            )
    return "\n".join(wrong) or None
