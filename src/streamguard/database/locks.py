"""The advisory locks of Postgres: one list, for two purposes with one number hold each other up for ever.

Taken in the order of their numbers where a process takes several, but for DEPLOYMENT, which is a session's and taken before all.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Lock(IntEnum):
    """The number of each. Source: PostgreSQL documentation, 13.3.5 Advisory Locks."""

    SCHEMA = 5_347_001
    """Whoever applies migrations: two processes that change the schema at once would wait for each other's locks for ever."""
    STORE = 5_347_002
    """Everybody who changes alerts, to the commit: exclusively, but for consumers beside each other, which share it and lock
    the accounts that they store (`streamguard.consumer.exclusion`)."""
    MONTHS = 5_347_003
    """Whoever makes partitions of `transaction_records`: `make_record_months` of the schema takes it."""
    OUTBOX = 5_347_004
    """Whoever sends the outbox: two leaders may overlap for a moment."""
    RETRY = 5_347_005
    """The retry of dead letters that runs."""
    DEPLOYMENT = 5_347_006
    """Whoever deploys SQL: two at once would each take down what the other has just sent."""
    FIRST_USER = 5_347_007
    """Two first starts make one admin."""
    WEBHOOKS = 5_347_008
    """Whoever adds or removes a webhook: the first one says where reading begins, the last one ends it."""
    FIGURES = 5_347_009
    """Whoever stores live figures; held by a session."""
    SCHEDULE = 5_347_010
    """Whoever runs commands at their times: two would run each twice; held by a session."""
