"""The names of internal topics and groups, as ksqlDB forms them from its service id."""

from __future__ import annotations

INTERNAL_PREFIX = "_confluent-ksql-"


def command_topic(service_id: str) -> str:
    return f"{INTERNAL_PREFIX}{service_id}_command_topic"


def processing_log_topic(service_id: str) -> str:
    return f"{service_id}ksql_processing_log"


def query_group(service_id: str, query_id: str) -> str:
    """The consumer group of a query: it shows a query's lag to any Kafka tool."""
    return f"{INTERNAL_PREFIX}{service_id}query_{query_id}"


def changelog_topic(service_id: str, query_id: str) -> str:
    return f"{query_group(service_id, query_id)}-changelog"


def sharing_topic(service_id: str) -> str:
    """Of the slots that the engines of a service divide, and the group in which they do so."""
    return f"{INTERNAL_PREFIX}{service_id}_engines"


def commands_id(service_id: str) -> str:
    """Under this transactional id one engine at a time writes the command topic."""
    return f"{INTERNAL_PREFIX}{service_id}_commands"
