"""`streamguard alerts verify ID`: the rule's own SQL once more over the records of its topics, and what it raises then.

1. `sql_of` has the statements of the rule, from the topics that nobody writes to the queries that raise its alerts.
2. They run over the records of the alert's account alone where no other account's count, with their tables in the order of
   time; where that does not give the alert, once more over all records of the partition, or of all topics; and with tables
   as they were when the alert was stored, for the order in which records of two topics arrived is not kept.
3. What they raise under the alert's id is compared with what is stored; each difference is a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice
from typing import Any

from streamguard.alerts.claim import Claim
from streamguard.config import Settings
from streamguard.evaluation.differences import NO_ALERT, differences_of, rank, shown
from streamguard.evaluation.rule_sql import NotRecomputable, sql_of
from streamguard.kafka.topic_reader import TopicReader
from streamguard.models import BadRecord, FraudAlert, Transaction, places
from streamguard.privacy.protection import NO_PROTECTION, Protection
from streamguard.sqldeploy.state import STREAMS_PROPERTIES
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord

BATCH = 20_000


@dataclass(frozen=True)
class Evidence:
    """A transaction that an alert rests on, and its place in the topic."""

    transaction: Transaction
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Verification:
    """What became of an alert when it was computed once more; it is confirmed where there are no `differences`."""

    claim: Claim
    origin: str
    """Whose text of the rule was used."""
    evidence: list[Evidence]
    """The account's valid transactions in the alert's window, up to the one that raised it; or that one alone."""
    differences: list[str]
    lost: list[str]
    """Why the alert may have been right all the same: what cannot be known any more."""
    notes: list[str]


@dataclass
class _Read:
    """Records of a topic, partition by partition, and how much of it there still is."""

    topic: str
    partitions: dict[int, list[InputRecord]] = field(default_factory=dict)
    begins: dict[int, int] = field(default_factory=dict)
    count: int = 0
    """How many partitions it has; 0 where it is not there."""


def verify(settings: Settings, claim: Claim, protection: Protection = NO_PROTECTION) -> Verification:
    """Compute an alert once more from the topics. `protection` is that of the database that the claim comes from.

    Raises NotRecomputable, DeployError, TopicNotRead, KafkaError.
    """
    return _Verifier(settings, claim, protection).verify()


class _Verifier:
    def __init__(self, settings: Settings, claim: Claim, protection: Protection) -> None:
        self._settings = settings
        self._claim = claim
        self._protection = protection
        self._account = claim.account_id.encode()
        self._sql = sql_of(claim.rule, settings)
        self._given = self._sql.given
        self._transactions = settings.transactions_topic
        self._failures: list[str] = []

    def verify(self) -> Verification:
        own = self._read(self._transactions, lambda record: self._protection.key(record.key) == self._account)
        others = [self._read(topic) for topic in self._given if topic != self._transactions]
        seen = [_seen(record) for records in own.partitions.values() for record in records]
        evidence = self._evidence([item for item in seen if item is not None])
        differences = self._differences(own, others, evidence)
        lost = [] if not differences else [*self._lost(own, others, differences), *dict.fromkeys(self._failures)]
        return Verification(
            self._claim, self._sql.origin, evidence, differences, lost, _repeated(evidence, self._transactions)
        )

    # --- records ------------------------------------------------------------------------------------------------------

    def _read(self, topic: str, keep: Callable[[Any], bool] = lambda _: True) -> _Read:
        read = _Read(topic)
        reader = TopicReader(self._settings.kafka, topic)
        for r in reader:
            if keep(r):
                record = InputRecord(topic, r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
                read.partitions.setdefault(r.partition, []).append(record)
        read.begins, read.count = reader.begins, len(reader.ends)
        return read

    def _evidence(self, seen: list[Evidence]) -> list[Evidence]:
        claim = self._claim
        named = [item for item in seen if item.transaction.transaction_id == claim.transaction_id]
        if not claim.is_window or not self._sql.within_account:
            return named
        assert claim.start_ms is not None and claim.end_ms is not None
        inside = [item for item in seen if claim.start_ms <= item.transaction.event_time < claim.end_ms]
        last = max((item.offset for item in named), default=None)
        return [item for item in inside if last is None or item.offset <= last]

    # --- the alert once more ------------------------------------------------------------------------------------------

    def _differences(self, own: _Read, others: list[_Read], evidence: list[Evidence]) -> list[str]:
        """Where none of the ways to compute it gives the alert, the differences of the one that comes nearest."""
        currency = max((item.transaction.currency for item in evidence), key=places, default=None)
        nearest: list[str] | None = None
        for batches in self._ways(own, others):
            differences = differences_of(self._claim, self._raised(batches, [own, *others]), currency)
            if not differences:
                return []
            if nearest is None or rank(differences) <= rank(nearest):
                nearest = differences
        named = {item.transaction.transaction_id for item in evidence}
        if self._claim.transaction_id is not None and self._claim.transaction_id not in named:
            missing = (
                f"the topic {self._transactions} has no valid transaction {self._claim.transaction_id} of account"
                f" {self._claim.account_id}"
            )
            return [missing, *(nearest or ())]
        return nearest or []

    def _ways(self, own: _Read, others: list[_Read]) -> Iterator[Iterator[Sequence[InputRecord]]]:
        """Which records are fed, in which batches: the quick ways first."""
        tables = [read for read in others if self._given[read.topic] == "TABLE"]
        streams = [read for read in others if self._given[read.topic] != "TABLE"]
        if self._sql.within_account:
            yield _by_time([own, *others])
            if tables:
                yield self._tables_first(tables, [own, *streams])
        whole = self._all(own)
        yield _by_time([whole, *others])
        if tables:
            yield self._tables_first(tables, [whole, *streams])

    def _tables_first(self, tables: list[_Read], rest: list[_Read]) -> Iterator[Sequence[InputRecord]]:
        for batch in _by_time(tables):
            yield [record for record in batch if record.time <= self._claim.first_stored_ms]
        yield from _by_time(rest)

    def _all(self, own: _Read) -> _Read:
        """The whole partition of the account, or the whole topic where other accounts count."""
        wanted = set(own.partitions) if self._sql.within_account else None
        return self._read(self._transactions, lambda record: wanted is None or record.partition in wanted)

    def _raised(self, batches: Iterator[Sequence[InputRecord]], reads: list[_Read]) -> list[FraudAlert]:
        """Every version of the alert that the rule raises on these records."""
        topics = {read.topic: read.count for read in reads if read.count}
        clock = self._claim.last_stored_ms
        engine = LocalEngine(self._settings.topic_partitions, STREAMS_PROPERTIES, lambda: clock, topics)
        found: list[FraudAlert] = []
        engine.listen(self._settings.alerts_topic, lambda records: found.extend(self._mine(records)))
        try:
            engine.run(self._sql.statements)
            for batch in batches:
                engine.feed(batch)
        except KsqlError as error:
            raise NotRecomputable(f"{self._sql.origin}: does not run: {error.message}") from None
        self._failures += [
            f"the query {query_id} has ended: {query.failure}"
            for query_id, query in engine.queries.items()
            if query.failure
        ]
        return found

    def _mine(self, records: Sequence[InputRecord]) -> Iterator[FraudAlert]:
        for record in records:
            if self._protection.key(record.key) == self._account:
                try:
                    alert = self._protection.alert(FraudAlert.from_record(record.value, record.key))
                except BadRecord:
                    continue  # The consumer stores no such alert.
                if alert.alert_id == self._claim.alert_id:
                    yield alert

    # --- what cannot be known any more --------------------------------------------------------------------------------

    def _lost(self, own: _Read, others: list[_Read], differences: list[str]) -> list[str]:
        claim, found = self._claim, []
        if claim.replaced_ms is not None:
            found.append(
                f"the SQL of {claim.rule} was replaced at {shown(claim.replaced_ms)} UTC, after the alert was stored, and the"
                f" one of now was used: see `streamguard rules history {claim.rule}`"
            )
        if not own.count:
            found.append(f"there is no topic {own.topic} any more")
        for read in [own, *(other for other in others if self._given[other.topic] == "STREAM")]:
            is_partial = read is own and self._sql.within_account and own.partitions
            begins = {n: begin for n, begin in read.begins.items() if begin and (not is_partial or n in own.partitions)}
            if begins:
                found.append(
                    f"the topic {read.topic} begins at {_offsets(begins)}: the records before have been removed (retention),"
                    " and the alert may rest on them"
                )
        tables = [topic for topic, kind in self._given.items() if kind == "TABLE"]
        if tables and NO_ALERT in differences:
            found.append(
                f"of {' and '.join(tables)} the newest record of each key is kept: what an entry was before it was changed"
                " or removed may be gone"
            )
        if len(self._given) > 1:
            topics = " and ".join(self._given)
            found.append(
                f"in which order the records of {topics} arrived is not kept: they are read in the order of time"
            )
        return found


def _offsets(begins: dict[int, int]) -> str:
    return ", ".join(f"offset {begin} in partition {number}" for number, begin in sorted(begins.items()))


def _by_time(reads: list[_Read]) -> Iterator[Sequence[InputRecord]]:
    """Batches of the records, each partition in its order, the partitions merged by time."""
    records = merge(*(part for read in reads for part in read.partitions.values()), key=lambda record: record.time)
    while batch := list(islice(records, BATCH)):
        yield batch


def _seen(record: InputRecord) -> Evidence | None:
    try:
        transaction = Transaction.from_record(record.value, record.key)
    except BadRecord:
        return None
    return Evidence(transaction, record.topic, record.partition, record.offset)


def _repeated(evidence: list[Evidence], topic: str) -> list[str]:
    by_id = sorted(evidence, key=lambda item: item.transaction.transaction_id)
    groups = [(name, list(found)) for name, found in groupby(by_id, key=lambda item: item.transaction.transaction_id)]
    return [
        f"the transaction {name} is {len(found)} times in the topic {topic}, and SQL counts each: it is stored once"
        for name, found in groups
        if len(found) > 1
    ]
