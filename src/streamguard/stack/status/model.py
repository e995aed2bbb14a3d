"""The figures of `streamguard status`, in the shape of its `--json` (docs/status.md, which a test compares).

Fields are added to the shape, never renamed or removed, while `format` stays. None, `null` in JSON: not known, as where the part
does not answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import orjson

FORMAT = 1
WELL, PROBLEMS = "well", "problems"


@dataclass(frozen=True)
class PartFigures:
    """A process of the embedded stack, or a part elsewhere (`place` is the variable with its address)."""

    name: str
    state: str
    """As the supervisor calls it, in lower case; of a part elsewhere answers or unavailable."""
    place: str
    address: str
    pid: int | None = None
    up_s: int | None = None
    memory_bytes: int | None = None
    """Of the process with its children; memory that they share counts once where the system says so."""


@dataclass(frozen=True)
class QueryFigures:
    """A persistent query of the SQL engine; `lag` in records."""

    name: str
    state: str
    lag: int | None


@dataclass(frozen=True)
class EngineFigures:
    """One of several SQL engines that share the rules: its address, and by query the number of partitions that it reads."""

    name: str
    address: str
    partitions: dict[str, int]


@dataclass(frozen=True)
class RuleFigures:
    """A rule of the catalogue: `kind` sql or python; `mode` active, shadow or off."""

    name: str
    kind: str
    mode: str


@dataclass(frozen=True)
class TopicFigures:
    """A topic of the application. Lags in records: the consumer's, and the largest of the queries that read it."""

    name: str
    partitions: int
    records: int
    size_bytes: int | None
    consumer_lag: int | None
    query_lag: int | None


@dataclass(frozen=True)
class Rates:
    """What happened lately: transactions by the second over `over_s` seconds, the rest in the last minute."""

    over_s: float | None = None
    transactions_per_s: float | None = None
    alerts: int | None = None
    decisions: int | None = None
    dead_letters: int | None = None


@dataclass(frozen=True)
class Stored:
    """What the database has, and how many records were read for it.

    An alert is decided, refused or waiting, as its newest settled version is.
    """

    transactions: int
    decided: int
    refused: int
    waiting: int
    dead_letters: int
    records_read: int

    @property
    def alerts(self) -> int:
        """All of them."""
        return self.decided + self.refused + self.waiting


@dataclass(frozen=True)
class Backlog:
    """What waits: alerts for a person, versions of alerts for their transaction, the outbox for Kafka. Ages in seconds."""

    open_alerts: int
    oldest_open_s: float | None
    undecided_versions: int
    outbox: int
    oldest_outbox_s: float | None


@dataclass(frozen=True)
class Disk:
    """The file system with the state folder."""

    folder: str
    free_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class FoundProblem:
    """What a check found; `check` is the heading of its section in the runbook, `serious` what the exit code counts."""

    check: str
    serious: bool
    sentence: str


@dataclass(frozen=True)
class Status:
    """The whole picture at one moment."""

    format: int
    taken_at: str
    """UTC, ISO 8601."""
    state: str
    """well or problems."""
    parts: list[PartFigures]
    queries: list[QueryFigures] | None
    rules: list[RuleFigures] | None
    topics: list[TopicFigures] | None
    rates: Rates
    stored: Stored | None
    backlog: Backlog | None
    disk: Disk
    findings: list[FoundProblem]
    engines: list[EngineFigures] = field(default_factory=list)
    """Empty where there is one."""

    @property
    def problems(self) -> list[FoundProblem]:
        """What the exit code counts."""
        return [finding for finding in self.findings if finding.serious]

    @property
    def notes(self) -> list[FoundProblem]:
        """What is worth knowing."""
        return [finding for finding in self.findings if not finding.serious]


def as_json(status: Status, *, indent: bool = True) -> str:
    """One document; without `indent` one line."""
    return orjson.dumps(asdict(status), option=orjson.OPT_INDENT_2 if indent else None).decode()
