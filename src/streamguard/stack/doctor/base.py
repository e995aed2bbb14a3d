"""Checks, findings, and what the checks look at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from sqlalchemy import Connection

from streamguard.config import Settings
from streamguard.sqldeploy.state import Server
from streamguard.stack.health import base as health

DATABASE, KAFKA, ENGINE = "database", "kafka", "engine"
"""The parts that a check may ask; it is left out where one of them is not there."""


@dataclass(frozen=True)
class Finding:
    """What is wrong and where, and what mends it, each in one line; `check` is the title of its check."""

    what: str
    cure: str
    check: str = ""


@dataclass(frozen=True)
class Unchecked:
    """A check that was not made, and why. `is_down`: because the stack does not run, which is no fault."""

    check: str
    why: str
    is_down: bool


@dataclass
class Report:
    """What all checks found."""

    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    made: int = 0
    """How many checks were made to their end."""

    @property
    def exit_code(self) -> int:
        """0: nothing found; 1: something was; 2: nothing was, and a check could not be made though its part should answer."""
        if self.findings:
            return 1
        return 2 if any(not one.is_down for one in self.unchecked) else 0


@dataclass
class Surroundings:
    """What the checks look at. `parts` are the connections that `streamguard status` has."""

    settings: Settings
    parts: health.Context
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    """Seconds since the epoch, as this machine has them."""

    @property
    def runs(self) -> bool:
        """Whether the embedded stack runs, as far as its supervisor says."""
        return self.parts.processes is not None

    @property
    def database(self) -> Connection:
        """For checks that need it."""
        assert self.parts.database is not None
        return self.parts.database

    @property
    def kafka(self) -> KafkaAdminClient:
        """For checks that need it."""
        assert self.parts.kafka is not None
        return self.parts.kafka

    @property
    def engine(self) -> Server:
        """For checks that need it."""
        assert self.parts.engine is not None
        return self.parts.engine

    def should_answer(self, part: str) -> bool:
        """Whether a part (postgres, broker, ksqldb) runs, or is somebody else's to run."""
        return self.runs or part in self.settings.external

    def has(self, part: str) -> Any:
        """The connection to one of DATABASE, KAFKA, ENGINE, None where it does not answer."""
        return getattr(self.parts, part)


Run = Callable[[Surroundings], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """A check with its title and the parts that it asks."""

    title: str
    run: Run
    needs: tuple[str, ...]


_ORDER = (
    "settings",
    "ports",
    "machine",
    "folder",
    "network",
    "certificates",
    "versions",
    "clocks",
    "database",
    "topics",
    "sql",
)

CHECKS: list[Check] = []
"""All checks but that of the sources of the settings."""


def in_order() -> list[Check]:
    """All of them, what others rest on first."""
    return sorted(CHECKS, key=lambda one: _ORDER.index(one.run.__module__.rpartition(".")[2]))


def check(title: str, *needs: str) -> Callable[[Run], Run]:
    """Register a check."""

    def register(run: Run) -> Run:
        CHECKS.append(Check(title, run, needs))
        return run

    return register


def halves(sentence: str, cure: str = "as the sentence says") -> Finding:
    """A sentence of the project, what: what to do, as a finding. `cure` is for one that says no more than what."""
    at = max(sentence.rfind(": "), sentence.rfind("; "))
    return Finding(sentence, cure) if at < 0 else Finding(sentence[:at], sentence[at + 2 :])


def from_health(run: health.Run, around: Surroundings) -> Iterator[Finding]:
    """The findings of a check of `streamguard status`."""
    for finding in run(around.parts):
        yield halves(finding.sentence)
