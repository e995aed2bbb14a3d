"""What stands still: the checks of `streamguard status`.

A check is a function of the `Context` with a decorator, in a module of this package; it yields a `Finding` for each thing that it
found. Its title is the heading of the runbook section that says what it means and what to do; a test holds both equal.

* `processes`: the embedded stack's processes and its disk
* `database`: Postgres, the outbox, dead letters
* `engine`: the SQL engine's queries and the rules that should be there
* `rules`: rules that were replaced, and the shadow
* `topics`: Kafka and the topics
* `readers`: the consumer and the queries as readers of topics
* `webhooks`: receivers that fail, and decisions that wait for them
* `alarms`: those that fire, and receivers that do not take them

A check says what is true at this moment from what the parts keep themselves (offsets and their times, states, logs).
Where that needs an earlier moment, the calls before are asked (`samples`).
"""

from streamguard.stack.health import alarms, database, engine, processes, readers, rules, topics, webhooks
from streamguard.stack.health.base import CHECKS, Check, Context, Finding, findings

__all__ = [
    "CHECKS",
    "Check",
    "Context",
    "Finding",
    "alarms",
    "database",
    "engine",
    "findings",
    "processes",
    "readers",
    "rules",
    "topics",
    "webhooks",
]
