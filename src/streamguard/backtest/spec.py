"""All that a back-test depends on, so that it can be repeated: kept beside its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from pydantic import TypeAdapter

from streamguard.backtest.sides import A, B, Side
from streamguard.backtest.statements import Sql, by_key
from streamguard.rules import RuleLimits
from streamguard.rules.listed import ListEntry, Lists


@dataclass(frozen=True)
class SideSpec:
    """A side as it is kept."""

    statements: list[Sql]
    limits: dict[str, Any]
    modes: dict[str, str]
    base: dict[str, int]


@dataclass(frozen=True)
class TopicSource:
    """Offsets by topic and partition: the first to read and the one behind the last. Topics read as tables are named."""

    spans: dict[str, dict[int, tuple[int, int]]]
    tables: list[str]
    partitions: dict[str, int]
    max_ahead_ms: int


@dataclass(frozen=True)
class FileSource:
    """Files of payments, how they are read, and the digest of each by its name. `values` are rows of tables, as SQL."""

    path: str
    layout: str | None
    mapping: str
    options: dict[str, Any]
    label_days: int
    digests: dict[str, str]
    values: list[str]


@dataclass(frozen=True)
class Spec:
    """The two sides, what is read, the range [from_ms, to_ms) in epoch milliseconds, and what analysts had resolved."""

    a: SideSpec
    b: SideSpec
    lists: list[ListEntry]
    change: list[str]
    """The keys of the statements that were given for B."""
    everything: bool
    origin: str
    """What A was taken from: server or catalogue."""
    clock_ms: int
    topic: TopicSource | None = None
    files: FileSource | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    warm_from_ms: int | None = None
    resolved: dict[str, bool] = field(default_factory=dict)

    def sides(self) -> tuple[Side, Side]:
        """A and B."""
        lists = Lists(self.lists)
        a, b = (Side(by_key(s.statements), RuleLimits(**s.limits), s.modes, lists, s.base) for s in (self.a, self.b))
        return a, b

    def shown(self) -> dict[str, Any]:
        """What the result says of its inputs: digests in the place of texts."""
        sides = {name: _shown_side(side) for name, side in ((A, self.a), (B, self.b))}
        return {
            "rule_sets": sides | {"origin": self.origin, "lists": _digest([asdict(entry) for entry in self.lists])},
            "range": {"from": self.from_ms, "to": self.to_ms, "warm_from": self.warm_from_ms},
            "source": self._source(),
        }

    def _source(self) -> dict[str, Any]:
        if self.topic is not None:
            return {
                "offsets": {t: {str(n): list(s) for n, s in spans.items()} for t, spans in self.topic.spans.items()}
            }
        assert self.files is not None
        return {"files": self.files.digests, "label_days": self.files.label_days}


def side_spec(side: Side, keys: Sequence[str]) -> SideSpec:
    """A side with those of its statements that are needed."""
    kept = [side.statements[key] for key in keys if key in side.statements]
    return SideSpec(kept, side.limits.model_dump(mode="json"), dict(side.modes), dict(side.base))


def _shown_side(side: SideSpec) -> dict[str, Any]:
    statements = {sql.key: sql.digest for sql in side.statements}
    return {"statements": statements, "limits": side.limits, "modes": side.modes, "points": side.base}


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


_SPEC: TypeAdapter[Spec] = TypeAdapter(Spec)


def dump(spec: Spec) -> str:
    """The text that is kept."""
    return _SPEC.dump_json(spec).decode()


def load(text: str) -> Spec:
    """The inverse of `dump`."""
    return _SPEC.validate_json(text)
