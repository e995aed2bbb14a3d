"""Kafka and its topics against what the application needs."""

from __future__ import annotations

from collections.abc import Iterator

from streamguard.kafka.topics import differences, topic_configs
from streamguard.stack.doctor.base import KAFKA, Finding, Surroundings, check, from_health, halves
from streamguard.stack.health import topics as health
from streamguard.stack.readiness import kafka_probe


@check("Kafka")
def answers(around: Surroundings) -> Iterator[Finding]:
    """Addresses, TLS and login; what waiting does not mend is a finding also where nothing runs."""
    if around.parts.kafka is not None:
        return
    problem = kafka_probe(around.settings)
    if problem is not None and problem.permanent:
        yield halves(f"Kafka at {problem}", "see KAFKA_BOOTSTRAP_SERVERS")
    elif around.should_answer("broker"):
        yield from from_health(health.unavailable, around)


@check("Topics", KAFKA)
def topics(around: Surroundings) -> Iterator[Finding]:
    """Missing, other partitions, retention or compaction; the lists' and the labels' among them."""
    there = set(around.kafka.list_topics())
    if not there & set(topic_configs(around.settings)) and not around.should_answer("broker"):
        return
    yield from from_health(health.missing, around)
    for difference in differences(around.settings, around.kafka):
        yield Finding(str(difference), difference.advice)
