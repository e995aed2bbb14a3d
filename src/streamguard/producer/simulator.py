"""The simulator: turns a clockwork of event times into records, with fraud and look-alikes woven in.

    slots (arrivals.py)      12:00:01   12:00:04   12:00:09   12:00:15 ...
    each slot                ordinary payment, and perhaps the start of a scenario
    planned (a heap)             12:00:03 burst 1  12:00:03 burst 2 ...
    out, by event time       ordinary   burst 1, burst 2   (nothing)   (nothing)   ordinary ...

A planned payment is sent at its own instant and takes the place of a later ordinary one, so that the total follows
the clockwork exactly while bursts keep their shape. One `Random` in one order of calls: the same seed, the same bytes.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from streamguard.producer.errors import InputError
from streamguard.producer.payments import Payment, PaymentMaker
from streamguard.producer.population import Population, mix
from streamguard.producer.profile import Profile
from streamguard.producer.record import Record, encode
from streamguard.producer.scenarios import KINDS, Kind, Stage

# A fixed Monday, 09:00 in Brasília: seeded runs that do not say when they start must start at the same instant.
SEEDED_START_MS = 1_767_614_400_000


def known_kind(name: str) -> Kind:
    """The scenario of that name; raises InputError with the choices."""
    if name not in KINDS:
        raise InputError(f"unknown kind {name!r}: choose {', '.join(KINDS)}")
    return KINDS[name]


@dataclass(frozen=True)
class Mix:
    """The share of all transactions that each kind makes up. What is left is ordinary."""

    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, share in self.shares.items():
            known_kind(name)
            if not 0 <= share <= 1:
                raise InputError(f"the share of {name} is {share}: it must lie between 0 and 1")
        if sum(self.shares.values()) > 1:
            raise InputError(
                f"the shares of the kinds add up to {sum(self.shares.values()):.3f}: at most 1 can be given"
            )

    @classmethod
    def of(cls, profile: Profile, changes: Mapping[str, float], fraud_share: float | None = None) -> Mix:
        """The profile's shares, with `changes` in place of its own, and the fraud scaled to make up `fraud_share`."""
        shares = {**profile.fraud, **profile.lookalikes, **changes}
        if fraud_share is not None:
            if not 0 <= fraud_share <= 1:
                raise InputError(f"the fraud share is {fraud_share}: it must lie between 0 and 1")
            total = sum(share for name, share in shares.items() if name in KINDS and KINDS[name].is_fraud)
            if total == 0 and fraud_share > 0:
                raise InputError(f"profile {profile.name} has no fraud to scale: name kinds with --mix")
            for name in shares:
                if name in KINDS and KINDS[name].is_fraud:
                    shares[name] *= fraud_share / total if total else 0
        return cls(shares)


class Simulator:
    """Makes the records of one population. `run_id` keeps the transaction ids of different runs apart."""

    def __init__(
        self, population: Population, mixture: Mix, seed: int, run_id: str, begin_with: Sequence[str] = ()
    ) -> None:
        self._rng = Random(mix(seed, 1))
        self._maker = PaymentMaker(population, self._rng)
        self._stage = Stage(self._maker)
        self._kinds, self._limits = _starts(mixture)
        self._planned: list[tuple[int, int, Payment]] = []
        self._plans_made = 0
        self._incidents = 0
        self._incident_prefix = run_id
        self._owed = 0
        self._made = 0
        self._last_ms = 0
        self._prefix = f"tx-{run_id}-"
        self._to_begin = [known_kind(name) for name in begin_with]

    @property
    def planned(self) -> int:
        """How many payments of scenarios under way are still to come."""
        return len(self._planned)

    def records(self, slots: Iterable[int]) -> Iterator[Record]:
        """All records of the slots, by event time; as endless as they are."""
        for slot_ms in slots:
            yield from self.at(slot_ms)

    def at(self, slot_ms: int) -> list[Record]:
        """The records due at the next slot: none, one or several. Slots must not go back in time."""
        while self._to_begin:
            self._begin(self._to_begin.pop(), slot_ms)
        due = []
        while self._planned and self._planned[0][0] <= slot_ms:
            due.append(self._finish(heapq.heappop(self._planned)[2]))
            self._owed += 1
        if self._limits:
            self._perhaps_begin(slot_ms)
        if self._owed:
            self._owed -= 1
        else:
            due.append(self._finish(Payment(slot_ms, self._maker.ordinary(slot_ms))))
        return due

    def _perhaps_begin(self, slot_ms: int) -> None:
        u = self._rng.random()
        if u >= self._limits[-1]:
            return
        self._begin(next(kind for kind, limit in zip(self._kinds, self._limits, strict=True) if u < limit), slot_ms)

    def _begin(self, kind: Kind, slot_ms: int) -> None:
        self._incidents += 1
        incident = f"{self._incident_prefix}-{self._incidents}"
        for payment in kind.plan(self._stage, slot_ms):
            self._plans_made += 1
            heapq.heappush(self._planned, (payment.event_time, self._plans_made, payment._replace(incident=incident)))

    def _finish(self, payment: Payment) -> Record:
        """Number it, stamp it and encode it. A payment that came due while time was skipped is stamped with now."""
        self._made += 1
        self._last_ms = max(self._last_ms, payment.event_time)
        fields = payment.fields
        fields["transaction_id"] = f"{self._prefix}{self._made:09d}"
        fields["event_time"] = self._last_ms
        return encode(fields, payment.label, payment.lookalike, payment.incident)


def run_id(*parts: object) -> str:
    """Ten hexadecimal digits that stand for what a run is made of: the same parts, the same transaction ids."""
    return hashlib.blake2s(repr(parts).encode(), digest_size=5).hexdigest()


def _starts(mixture: Mix) -> tuple[list[Kind], list[float]]:
    """The kinds, and the running probability that a slot begins one: its share over its expected size."""
    kinds = [KINDS[name] for name, share in mixture.shares.items() if share > 0]
    limits, reached = [], 0.0
    for kind in kinds:
        reached += mixture.shares[kind.name] / kind.mean_size
        limits.append(reached)
    return kinds, limits
