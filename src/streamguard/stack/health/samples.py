"""What earlier calls of `streamguard status` saw: offsets with their time, in the state folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import orjson

from streamguard.config import Settings

_KEPT_S = 3_600.0
_KEPT = 200

Positions = dict[str, tuple[int, int]]
"""`topic/partition` to the next offset to read and the end."""


@dataclass(frozen=True)
class Sample:
    """The positions of each reader at a time (seconds since the epoch)."""

    at_s: float
    readers: Mapping[str, Positions]

    def age_s(self) -> float:
        """Seconds since then."""
        return time.time() - self.at_s


class Samples:
    """The samples of one state folder, the newest last; none where there is no folder."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.state_path / "run" / "status.json"
        self._samples = list(self._load())

    def of(self, reader: str, at_least_s: float) -> list[Positions]:
        """The positions of a reader from the newest sample of that age on to now, the oldest first; empty without one."""
        known = [sample for sample in self._samples if reader in sample.readers]
        old = [number for number, sample in enumerate(known) if sample.age_s() >= at_least_s]
        return [dict(sample.readers[reader]) for sample in known[old[-1] :]] if old else []

    def nearest(self, reader: str, age_s: float, *, least_s: float, most_s: float) -> Sample | None:
        """The sample of a reader that is nearest to that age, among those between the two others; None without one."""
        known = [one for one in self._samples if reader in one.readers and least_s <= one.age_s() <= most_s]
        return min(known, key=lambda one: abs(one.age_s() - age_s), default=None)

    def add(self, readers: Mapping[str, Positions]) -> None:
        """Keep what is seen now. A folder that cannot be written to keeps nothing."""
        kept = [*self._samples, Sample(time.time(), readers)][-_KEPT:]
        fresh = self._file.with_suffix(".new")
        with suppress(OSError):
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(orjson.dumps([[sample.at_s, sample.readers] for sample in kept]))
            fresh.replace(self._file)

    def _load(self) -> Iterator[Sample]:
        with suppress(OSError, ValueError, TypeError):
            for at_s, readers in orjson.loads(self._file.read_bytes()):
                sample = Sample(
                    at_s, {name: {p: (o, e) for p, (o, e) in found.items()} for name, found in readers.items()}
                )
                if 0 <= sample.age_s() <= _KEPT_S:
                    yield sample
