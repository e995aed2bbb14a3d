"""The protocol of a sink, and its registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from streamguard.config import Settings
from streamguard.config.errors import UserError
from streamguard.config.extras import need


class SinkError(UserError):
    """A sink that cannot be opened or written to; the text names it and what to do."""


class SinkUnavailable(SinkError):
    """The destination does not take records for now: it is down, or its disk is full. The runner tries again."""


@dataclass(frozen=True, slots=True)
class SinkRecord:
    """A record of a topic. `timestamp` is epoch milliseconds, UTC."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Sink(Protocol):
    """Takes the records of the topics, in their order within each partition.

    A sink keeps the offsets itself, beside what it stores: so each record has its effect once, wherever the process is
    killed. It takes every record, also one whose value is no JSON. Making one does not need the destination to answer; where
    it does not, `next_offsets` and `write` raise SinkUnavailable, and are called again later, `next_offsets` first.
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


@runtime_checkable
class Rereading(Protocol):
    """A sink that reads a topic from its beginning where it was deleted and made again. It is asked every few seconds."""

    def is_outdated(self) -> bool:
        """Whether a topic is another one than when `next_offsets` was asked. Raises KafkaError."""
        ...


@dataclass(frozen=True)
class Batch:
    """When records are written: `records` of them wait, or the first has waited for `seconds`; 0: what was read at once."""

    records: int = 5_000
    seconds: float = 0.0


Maker = Callable[..., Sink]
"""Makes a sink for a destination, such as a folder or a URL, and its options by name. Raises SinkError."""


@dataclass(frozen=True)
class Kind:
    """A registered sink: what makes it, and what the settings say of it."""

    name: str
    maker: Maker
    destination: Callable[[Settings], str]
    """Where to, by the settings. Raises SinkError where they do not say."""
    options: Callable[[Settings], Mapping[str, Any]]
    batch: Callable[[Settings], Batch]
    topics: Callable[[Settings], Sequence[str]] | None
    """What it reads; None for transactions, alerts and decisions."""
    sql: tuple[str, ...]
    """SQL files that write what it reads, beside the rules: the stack deploys them where it runs the sink."""
    extra: str
    """The extra with its library, which is `module`; empty where it needs none."""
    module: str

    def __call__(self, destination: str, **options: Any) -> Sink:
        """One that writes to `destination`. Raises SinkError, and UserError where its library is missing."""
        self.check_library()
        return self.maker(destination, **options)

    def check_library(self) -> None:
        """Raises UserError where the extra is not installed."""
        if self.module:
            need(self.extra, self.module)

    def open(self, settings: Settings, destination: str = "") -> Sink:
        """As the settings say, or to another destination."""
        return self(destination or self.destination(settings), **self.options(settings))


SINKS: dict[str, Kind] = {}

M = TypeVar("M", bound=Maker)


def _not_set(settings: Settings) -> str:
    raise SinkError("where to? name the destination behind the name of the sink")


def sink(
    name: str,
    *,
    destination: Callable[[Settings], str] = _not_set,
    options: Callable[[Settings], Mapping[str, Any]] = lambda settings: {},
    batch: Callable[[Settings], Batch] = lambda settings: Batch(settings.batch_max_records),
    topics: Callable[[Settings], Sequence[str]] | None = None,
    sql: tuple[str, ...] = (),
    extra: str = "",
    module: str = "",
) -> Callable[[M], M]:
    """Register what makes a sink under a name; `Kind` says what the rest is. Raises ValueError for a name that is taken."""

    def register(maker: M) -> M:
        if name in SINKS:
            raise ValueError(f"the sink {name!r} is registered twice")
        SINKS[name] = Kind(name, maker, destination, options, batch, topics, sql, extra, module)
        return maker

    return register
