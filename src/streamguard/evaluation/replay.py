"""Transactions through the SQL rules, the Python rules and the decision, in this process: without broker and database.

1. `Replay.feed` takes a batch of records, as topics have them, in the order in which they are to be seen.
2. The queries of the SQL files run over it (`streamguard_ksql.local`), and what they write to `fraud_alerts` is read as the
   consumer reads it.
3. Each version of an alert is judged once, with the account's transactions before its own as its context, by the same
   `decide` as in the consumer.

What the running stack stores of the same records is the same, row for row: a test holds both together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from streamguard.config.resources import values_file
from streamguard.evaluation.accounts import History, Kept, from_ms
from streamguard.models import BadRecord, FraudAlert
from streamguard.rules import REGISTRY, Alert, Context, Decision, RuleLimits, StoredTransaction, decide
from streamguard.rules.catalogue import base_points
from streamguard.rules.listed import Lists, list_keys
from streamguard.sqldeploy.script import DeployError, read
from streamguard.sqldeploy.state import STREAMS_PROPERTIES
from streamguard.sqldeploy.values import first_values
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.local.topics import KNOWN_KEYS
from streamguard_ksql.operators.record import Headers, InputRecord

PARTITIONS = 3
TRANSACTIONS, ALERTS, LABELS = "transactions", "fraud_alerts", "fraud_labels"
Past = tuple[StoredTransaction, ...]
"""Transactions of an account, the newest first."""
AT_ONCE = 1_000
"""Records that go through the queries together: as many as a processor's cache has room for."""
_new = tuple.__new__
"""Makes a named tuple without a call of its `__new__` in Python."""


class Sent(NamedTuple):
    """A record before it has a place in its topic; `time` is epoch milliseconds."""

    topic: str
    key: bytes | None
    value: bytes | None
    time: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A version of an alert with the decision on it; `partition` and `offset` are those of its transaction."""

    alert: FraudAlert
    decision: Decision
    partition: int
    offset: int


@dataclass(frozen=True)
class RuleSet:
    """What is replayed: SQL files with values for their DEFINEs, limits of the Python rules, modes, and lists."""

    files: Sequence[Path]
    given: Mapping[str, str] = field(default_factory=dict)
    limits: RuleLimits = field(default_factory=RuleLimits)
    modes: Mapping[str, str] = field(default_factory=dict)
    lists: Lists = field(default_factory=Lists)
    first_values: bool = True
    """Whether tables begin with the rows of `NAME-values.sql`; not where the records of their topics are fed."""


class Places:
    """Gives records their partition and offset, as a producer and an empty broker would."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self._partition_of = lru_cache(KNOWN_KEYS)(lambda key: partition_for(key, partitions))
        self._next: defaultdict[str, list[int]] = defaultdict(lambda: [0] * partitions)
        """Offsets, by topic and partition."""

    def ends(self, topic: str) -> Sequence[int]:
        """The next offset of each partition of a topic."""
        return self._next[topic]

    def place(self, record: Sent) -> InputRecord:
        """The record at the end of its partition."""
        topic, key, value, time = record
        return self.put(topic, key, value, time)

    def put(self, topic: str, key: bytes | None, value: bytes | None, time: int, headers: Headers = ()) -> InputRecord:
        """The same for the parts of a record."""
        partition = 0 if key is None else self._partition_of(key)
        offsets = self._next[topic]
        offset = offsets[partition]
        offsets[partition] = offset + 1
        return _new(InputRecord, (topic, partition, offset, key, value, time, headers))


class Replay:
    """One rule set over a stream of records. Raises DeployError for SQL that does not plan."""

    def __init__(self, rules: RuleSet, partitions: int = PARTITIONS) -> None:
        self._rules = rules
        topics = {TRANSACTIONS: partitions, LABELS: partitions}
        self.engine = LocalEngine(partitions, STREAMS_PROPERTIES, topics=topics, only_listened=True)
        self.versions = Versions(self.engine)
        for file in rules.files:
            self._run(file)
        # The rows of tables are there before the first transaction, whatever event time it has.
        self.engine.feed()
        self._base = base_points()
        self._history = History()
        self.unknown: Counter[str] = Counter()
        """Alerts, by rule, that name a transaction which is not in the batch that raised them."""

    def feed(self, records: Sequence[InputRecord], valid: Iterable[InputRecord] | None = None) -> list[Judged]:
        """Run the rules over a batch; returns what was raised, in the order of the transactions.

        `valid` has the transactions among `records` that the consumer stores; all of them, if not given.
        """
        for first in range(0, len(records), AT_ONCE):
            self.engine.feed(records[first : first + AT_ONCE], more=first + AT_ONCE < len(records))
        if not records:
            self.engine.feed()
        raised = self.versions.take()
        judged: list[Judged] = []
        add = self._history.add
        for topic, partition, offset, key, value, time, _ in records if valid is None else valid:
            if topic != TRANSACTIONS:
                continue
            kept = Kept(time, offset, key, value)
            if (of_account := raised.get(key)) and (alerts := of_account.pop(kept.seen().transaction_id, None)):
                past = self._history.before(key)
                judged += [Judged(alert, self._decide(alert, kept.seen(), past), partition, offset) for alert in alerts]
            add(kept)
        for of_account in raised.values():
            for alerts in of_account.values():
                self.unknown.update(alert.rule for alert in alerts)
        return judged

    def _run(self, file: Path) -> None:
        for item in read(file, self._rules.given):
            try:
                self.engine.execute(item.statement)
            except KsqlError as error:
                raise DeployError(f"{item.file}:{item.line}: {_first_line(error)}") from None
        if self._rules.first_values and (values := values_file(file)) is not None:
            self.engine.run(first_values(values))

    def _decide(self, raised: FraudAlert, transaction: StoredTransaction, past: Past) -> Decision:
        return decision_on(raised, transaction, past, self._rules, self._base)


class Versions:
    """The versions of alerts that an engine raises, each once."""

    def __init__(self, engine: LocalEngine) -> None:
        self._known: set[tuple[str, int]] = set()
        self._written: list[InputRecord] = []
        self.refused: Counter[str] = Counter()
        """Alerts that the consumer refuses, by reason."""
        engine.listen(ALERTS, self._written.extend)

    def take(self) -> dict[bytes | None, dict[str | None, list[FraudAlert]]]:
        """The new versions of what was fed since the last call, by the key of the account and the id of the transaction."""
        raised: dict[bytes | None, dict[str | None, list[FraudAlert]]] = {}
        for record in self._written:
            try:
                alert = FraudAlert.from_record(record.value, record.key)
            except BadRecord as error:
                self.refused[str(error)] += 1
                continue
            version = (alert.alert_id, alert.tx_count or 0)
            if version not in self._known:
                self._known.add(version)
                raised.setdefault(record.key, {}).setdefault(alert.transaction_id, []).append(alert)
        self._written.clear()
        return raised


class Judging(Protocol):
    """What decides beside the alert and its transactions."""

    @property
    def limits(self) -> RuleLimits: ...
    @property
    def modes(self) -> Mapping[str, str]: ...
    @property
    def lists(self) -> Lists: ...


def decision_on(
    raised: FraudAlert, transaction: StoredTransaction | None, past: Past, by: Judging, base: Mapping[str, int]
) -> Decision:
    """What the Python rules decide on a version of an alert, after the account's transactions before its own.

    `base` has the points that the alerts of a SQL rule begin with.
    """
    alert = alert_of(raised)
    listed, allowed = by.lists.matching(alert, list_keys(alert, transaction))
    context = Context(transaction, past, listed, allowed, limits=by.limits)
    return decide(alert, context, REGISTRY.values(), by.modes, base)


def _first_line(error: KsqlError) -> str:
    return error.message.partition("\n")[0]


def alert_of(raised: FraudAlert) -> Alert:
    """A version of an alert as the Python rules see it."""
    return Alert(
        alert_id=raised.alert_id,
        rule=raised.rule,
        account_id=raised.account_id,
        tx_count=raised.tx_count or 0,
        amount=raised.amount,
        window_start=None if raised.window_start is None else from_ms(raised.window_start),
        window_end=None if raised.window_end is None else from_ms(raised.window_end),
        detected_at=from_ms(raised.detected_at),
    )
