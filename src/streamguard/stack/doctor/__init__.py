"""How the stack is set up: the checks of `streamguard doctor`, which change nothing and work with the stack up or down.

A check is a function of `Surroundings` with a decorator that names it and the parts that it asks; it yields a `Finding` for each
thing: what and where in one line, its cure in another. A module for each family:

* `settings`: the environment, `.env`, files with secrets (it comes first: without settings there is nothing else to check)
* `ports`: who listens where a part is to listen
* `machine`: disk, open files, memory
* `folder`: the state folder, and who works in it
* `network`: proxies and bundles of authorities that the environment names
* `certificates`: expired, soon, for another host, of an authority that is not trusted
* `versions`: Python, packages, servers
* `clocks`: this machine's against those of the database, of Kafka's records and of servers
* `database`: the login, the schema, the rights of the role
* `topics`, `sql`: what Kafka and the SQL engine have against what they should have

What stands still now is `streamguard status`'s (streamguard.stack.health), whose checks of the same things are used here.
"""

from streamguard.stack.doctor import (
    certificates,
    clocks,
    database,
    folder,
    machine,
    network,
    ports,
    settings,
    sql,
    topics,
    versions,
)
from streamguard.stack.doctor.base import CHECKS, Finding, Report, Unchecked
from streamguard.stack.doctor.run import examine

__all__ = [
    "CHECKS",
    "Finding",
    "Report",
    "Unchecked",
    "certificates",
    "clocks",
    "database",
    "examine",
    "folder",
    "machine",
    "network",
    "ports",
    "settings",
    "sql",
    "topics",
    "versions",
]
