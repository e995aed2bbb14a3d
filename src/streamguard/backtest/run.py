"""One process of a back-test: both sides over the same records, in one reading.

1. Each part of the plan is an engine; a batch goes through all of them.
2. A version of an alert is judged where its transaction is, after the account's transactions before it.
3. At the end each alert is known in its last version within the range, with the transactions that it covers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from streamguard.backtest.found import Found, Place, SideFound, covered, found_of
from streamguard.backtest.plan import Part, failures, new_engine
from streamguard.backtest.records import Facts, facts_of
from streamguard.backtest.sides import A, B
from streamguard.evaluation.accounts import History, Kept, readable
from streamguard.evaluation.replay import TRANSACTIONS, Past, Versions, decision_on
from streamguard.models import FraudAlert, Transaction
from streamguard.privacy.protection import NO_PROTECTION, Protection
from streamguard.rules import Decision, RuleLimits, StoredTransaction
from streamguard.rules.listed import Lists
from streamguard_ksql.ast import InsertValues
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.local import by_topic as batches_by_topic
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.parser import parse_statement

TOGETHER = "together"
_LABEL = "label"


@dataclass(frozen=True)
class Judging:
    """What the Python rules of a side decide with."""

    limits: RuleLimits
    modes: Mapping[str, str]
    lists: Lists
    base: Mapping[str, int] = field(default_factory=dict)
    """The points that the alerts of a SQL rule begin with, by its name."""


@dataclass(frozen=True)
class Job:
    """What every process of a back-test is given. Times are epoch milliseconds; the range is [from_ms, to_ms)."""

    parts: Sequence[Part]
    judging: Mapping[str, Judging]
    partitions: Mapping[str, int]
    clock_ms: int
    from_ms: int | None = None
    to_ms: int | None = None
    warm_from_ms: int | None = None
    """Transactions before this time are not read; None: all are."""
    max_ahead_ms: int | None = None
    """How far a transaction's time may be ahead of the time at which it was written; None where that is not known."""
    labels: Mapping[str, bool] = field(default_factory=dict)
    """By transaction, whether it was reported as fraud."""
    protection: Protection = NO_PROTECTION
    """What the consumer does to personal data before it judges and stores."""
    values: Sequence[str] = ()
    """INSERT VALUES of the rows that tables begin with, where no topic has them."""

    def in_range(self, event_time: int) -> bool:
        """Whether what happened at this time is reported."""
        return (self.from_ms is None or event_time >= self.from_ms) and (self.to_ms is None or event_time < self.to_ms)


@dataclass
class Outcome:
    """What a process, or all of them, found."""

    sides: dict[str, SideFound]
    read: int = 0
    transactions: int = 0
    """Of the range."""
    left_out: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None
    """The event times of the earliest and the latest transaction that was read."""
    frauds: Counter[bool] = field(default_factory=Counter)
    """Transactions of the range that are labelled: as fraud, as honest."""
    labelled: set[str] = field(default_factory=set)
    """The reported transactions that were read."""

    def add(self, other: Outcome) -> None:
        """Take up what another process found."""
        for name, side in other.sides.items():
            self.sides[name].add(side)
        self.read += other.read
        self.transactions += other.transactions
        self.left_out += other.left_out
        self.first_ms = min((t for t in (self.first_ms, other.first_ms) if t is not None), default=None)
        self.last_ms = max((t for t in (self.last_ms, other.last_ms) if t is not None), default=None)
        self.frauds += other.frauds
        self.labelled |= other.labelled


def new_outcome() -> Outcome:
    """Nothing found yet."""
    return Outcome({A: SideFound(), B: SideFound()})


class Run:
    """Takes batches in order; `finish` gives the outcome. Raises BacktestError for SQL that does not plan."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._outcome = new_outcome()
        clock_ms = job.clock_ms
        self._clock = lambda: clock_ms
        """One for all engines: what they ask alike of a record is asked once (`streamguard_ksql.operators.conditions`)."""
        self._engines = [self._new_engine(part) for part in job.parts]
        self._versions = [Versions(engine) for engine in self._engines]
        self._history = History()
        self._evidence: dict[str, dict[str, dict[Place, Kept]]] = {A: {}, B: {}}
        self._frauds: set[Place] = set()
        self._frauds_of_range: set[Place] = set()
        self._read = partial(_protected, job.protection) if job.protection.active else Transaction.from_record
        self._judged_alike = job.judging[A] == job.judging[B]

    def _new_engine(self, part: Part) -> LocalEngine:
        engine = new_engine(part.statements, self._job.partitions, self._clock)
        tables = {sql.name for sql in part.statements}
        for statement in map(parse_statement, self._job.values):
            if isinstance(statement, InsertValues) and statement.target in tables:
                engine.execute(statement)
        # They are there before the first transaction, whatever event time it has.
        engine.feed()
        return engine

    def feed(self, batch: Sequence[InputRecord]) -> int:
        """Run a batch through all engines, and judge what they raise; returns how many records of transactions it had."""
        usable, transactions = self._usable(batch)
        by_topic = batches_by_topic(usable)
        for engine in self._engines:
            engine.feed_topics(by_topic)
        raised = [versions.take() for versions in self._versions]
        accounts = set[bytes | None]().union(*raised)
        for record, facts in transactions:
            kept = Kept(facts.event_time, record.offset, record.key, record.value, record.partition, self._read)
            if record.key in accounts:
                found = [
                    (part, alert)
                    for part, of in zip(self._job.parts, raised, strict=True)
                    if record.key in of
                    for alert in of[record.key].pop(facts.transaction_id, ())
                ]
                if found and any(readable([kept])):
                    self._judge(found, kept, facts.event_time)
            self._history.add(kept)
        self._judge_others(raised)
        return sum(record.topic == TRANSACTIONS for record in batch)

    def _usable(self, batch: Sequence[InputRecord]) -> tuple[list[InputRecord], list[tuple[InputRecord, Facts]]]:
        """The records that engines are given, and the transactions among them that the consumer stores."""
        usable, transactions = [], []
        for record in batch:
            if record.topic != TRANSACTIONS:
                usable.append(record)
                continue
            facts = facts_of(record)
            if facts is None:
                # The rules do not see it either, by conditions of their own.
                self._outcome.left_out["not valid"] += 1
            elif self._is_ahead(record, facts):
                self._outcome.left_out["ahead of its time"] += 1
                continue
            elif self._job.warm_from_ms is not None and facts.event_time < self._job.warm_from_ms:
                self._outcome.left_out["before the warm-up"] += 1
                continue
            else:
                self._note(record, facts)
                transactions.append((record, facts))
            usable.append(record)
        return usable, transactions

    def _is_ahead(self, record: InputRecord, facts: Facts) -> bool:
        most = self._job.max_ahead_ms
        return most is not None and record.time >= 0 and facts.event_time > record.time + most

    def _note(self, record: InputRecord, facts: Facts) -> None:
        """Count a transaction, and keep what is known of it."""
        outcome, at_ms = self._outcome, facts.event_time
        outcome.read += 1
        if outcome.first_ms is None or at_ms < outcome.first_ms:
            outcome.first_ms = at_ms
        if outcome.last_ms is None or at_ms > outcome.last_ms:
            outcome.last_ms = at_ms
        in_range = self._job.in_range(at_ms)
        outcome.transactions += in_range
        is_fraud = self._truth(record, facts)
        if is_fraud is None:
            return
        place = Place(record.partition, record.offset)
        if is_fraud:
            self._frauds.add(place)
        if in_range:
            outcome.frauds[is_fraud] += 1
            if is_fraud:
                self._frauds_of_range.add(place)

    def _truth(self, record: InputRecord, facts: Facts) -> bool | None:
        """Whether a transaction is fraud, by its header or as it was reported; None where nobody says."""
        reported = self._job.labels.get(facts.transaction_id)
        if reported is not None:
            self._outcome.labelled.add(facts.transaction_id)
        for name, value in record.headers:
            if name == _LABEL:
                return bool(value)
        return reported

    def _judge(self, found: Iterable[tuple[Part, FraudAlert]], kept: Kept, event_time: int) -> None:
        """Judge the versions that a transaction has raised."""
        past = self._history.before(kept.key)
        decided: dict[tuple[str, int | None], tuple[FraudAlert, Decision]] = {}
        for part, clear in found:
            alert = self._job.protection.alert(clear)
            for side in part.sides:
                version = (alert.alert_id, alert.tx_count)
                known = decided.get(version) if self._judged_alike else None
                if known is not None and known[0] == alert:
                    decision = known[1]
                else:
                    decision = self._decide(side, alert, kept.seen(), past)
                    decided[version] = alert, decision
                self._take(side, alert, decision, event_time, kept.key, kept)

    def _decide(self, side: str, alert: FraudAlert, seen: StoredTransaction | None, past: Past) -> Decision:
        judging = self._job.judging[side]
        return decision_on(alert, seen, past, judging, judging.base)

    def _judge_others(self, raised: Iterable[Mapping[bytes | None, Mapping[str | None, list[FraudAlert]]]]) -> None:
        """Judge the versions that name an earlier transaction, or none. Those of one that is not stored never are."""
        for part, of in zip(self._job.parts, raised, strict=True):
            for key, by_id in of.items():
                for transaction_id, alerts in by_id.items():
                    kept = None if transaction_id is None else self._history.find(key, transaction_id)
                    for alert in alerts:
                        self._judge_other(part, self._job.protection.alert(alert), key, kept)

    def _judge_other(self, part: Part, alert: FraudAlert, key: bytes | None, kept: Kept | None) -> None:
        seen = None if kept is None else kept.seen()
        for side in part.sides:
            if alert.transaction_id is not None and seen is None:
                self._outcome.sides[side].refused["transaction_id: a transaction that is not stored"] += 1
                continue
            decision = self._decide(side, alert, seen, ())
            at_ms = alert.detected_at if seen is None else round(seen.event_time.timestamp() * 1000)
            self._take(side, alert, decision, at_ms, key, kept)

    def _take(
        self,
        side: str,
        alert: FraudAlert,
        decision: Decision,
        event_time: int,
        key: bytes | None,
        kept: Kept | None,
    ) -> None:
        """Keep a version of an alert with what it covers. `key` is that of its account in the topics."""
        evidence = self._evidence[side].setdefault(alert.alert_id, {})
        if alert.window_start is not None and alert.window_end is not None and alert.window_end > alert.window_start:
            for one in self._history.within(key, alert.window_start, alert.window_end):
                evidence[Place(one.partition, one.offset)] = one
        place = None
        if kept is not None:
            place = Place(kept.partition, kept.offset)
            evidence[place] = kept
        if self._job.in_range(event_time):
            judging = self._job.judging[side]
            self._outcome.sides[side].note(found_of(alert, decision, judging.modes, event_time, place))

    def finish(self) -> Outcome:
        """What was found; transactions are shown of those alerts that differ."""
        for part, engine, versions in zip(self._job.parts, self._engines, self._versions, strict=True):
            for name in part.sides:
                side = self._outcome.sides[name]
                side.ended |= failures(engine.queries)
                side.refused += versions.refused
                for query_id, query in engine.queries.items():
                    side.skipped.update({f"{query_id}: {reason}": n for reason, n in query.skipped.items()})
        mine, theirs = (self._outcome.sides[name].alerts for name in (A, B))
        for name, side in self._outcome.sides.items():
            other = theirs if name == A else mine
            self._cover(name, side, other)
        return self._outcome

    def _cover(self, name: str, side: SideFound, other: Mapping[str, Found]) -> None:
        caught: dict[str, set[Place]] = {}
        flagged: dict[Place, Kept] = {}
        for alert_id, found in side.alerts.items():
            evidence = self._evidence[name][alert_id]
            found.is_fraud = not self._frauds.isdisjoint(evidence)
            if hit := self._frauds_of_range.intersection(evidence):
                caught.setdefault(found.rule, set()).update(hit)
                if found.is_flagged:
                    caught.setdefault(TOGETHER, set()).update(hit)
                    flagged |= {place: evidence[place] for place in hit}
            theirs = other.get(alert_id)
            if theirs is None or theirs.compared != found.compared:
                found.transactions = covered(readable(evidence.values()))
        side.caught = Counter({rule: len(places) for rule, places in caught.items()})
        amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
        for one in covered(readable(flagged.values())):
            amounts[one.currency] += one.amount
        side.caught_amounts = dict(amounts)


def _protected(protection: Protection, value: bytes | None, key: bytes | None) -> Transaction:
    return protection.transaction(Transaction.from_record(value, key))
