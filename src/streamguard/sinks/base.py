"""The protocol of a sink, and its registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from streamguard.config.errors import UserError


class SinkError(UserError):
    """A sink that cannot be opened or written to; the text names it and what to do."""


@dataclass(frozen=True, slots=True)
class SinkRecord:
    """A record of a topic. `timestamp` is epoch milliseconds, UTC."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Sink(Protocol):
    """Takes the records of the topics, in their order within each partition.

    A sink keeps the offsets itself, beside what it stores: so each record has its effect once, wherever the process is
    killed.
    """

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """The first offset of each partition that the sink does not have; 0 for those that are missing."""
        ...

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Store records; when it returns they are durable. Raises SinkError."""
        ...

    def close(self) -> None:
        """Release what the sink holds open."""
        ...


Maker = Callable[[str], Sink]
"""Makes a sink for a destination, such as a folder or a URL. Raises SinkError."""

SINKS: dict[str, Maker] = {}

M = TypeVar("M", bound=Maker)


def sink(name: str) -> Callable[[M], M]:
    """Register what makes a sink under a name. Raises ValueError for a name that is registered already."""

    def register(maker: M) -> M:
        if name in SINKS:
            raise ValueError(f"the sink {name!r} is registered twice")
        SINKS[name] = maker
        return maker

    return register
