"""Labelled payments through the rules that run: what each payment is given, and by which rule.

A label is known `label_delay_days` after its payment, as a chargeback in the topic `fraud_labels`: that of a fraud only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import orjson

from streamguard.evaluation.data import DAY_MS, LabelledPayment
from streamguard.evaluation.replay import ALERTS, LABELS, TRANSACTIONS, Judged, Places, Replay, RuleSet, Sent
from streamguard.rules.decide import ACTIVE

BATCH = 5_000
"""Records that go through the queries together."""


@dataclass(slots=True)
class Score:
    """What the rules say of one payment: the highest score of its alerts, 0 to 100, and 0 without any.

    `flagged` is whether one of them is not dismissed; `rules` are the SQL rules that raised it and the Python rules that
    gave points for fraud.
    """

    points: int = 0
    flagged: bool = False
    rules: frozenset[str] = frozenset()

    def add(self, judged: Judged) -> None:
        """Take one version of an alert in."""
        decision = judged.decision
        self.points = max(self.points, decision.score)
        self.flagged = self.flagged or decision.outcome != "dismiss"
        found = {v["rule"] for v in decision.verdicts if v["mode"] == ACTIVE and v["points"] > 0}
        self.rules = self.rules | found | {judged.alert.rule}


NOTHING = Score()


@dataclass
class Scores:
    """The score of each payment, in their order, and what the rules did on the way."""

    of: list[Score]
    alerts: Counter[str] = field(default_factory=Counter)
    """Versions of alerts, by SQL rule."""
    unknown: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    """What queries left out, by query and reason."""
    ended: dict[str, str] = field(default_factory=dict)
    """Queries that ended, with the reason."""


def score(
    payments: Sequence[LabelledPayment],
    rules: RuleSet,
    label_delay_days: int = 7,
    progress: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Run `payments`, in order of time, through the rules. Raises DeployError."""
    replay = Replay(rules)
    places = Places()
    result = Scores([NOTHING] * len(payments))
    numbers: dict[tuple[int, int], int] = {}
    records = with_labels(payments, label_delay_days * DAY_MS)
    while batch := list(islice(records, BATCH)):
        placed = []
        for number, sent in batch:
            record = places.place(sent)
            placed.append(record)
            if number is not None:
                numbers[record.partition, record.offset] = number
        for judged in replay.feed(placed):
            number = numbers[judged.partition, judged.offset]
            if result.of[number] is NOTHING:
                result.of[number] = Score()
            result.of[number].add(judged)
            result.alerts[judged.alert.rule] += 1
        progress(len(numbers))
        numbers.clear()
    result.unknown = replay.unknown
    if replay.versions.refused:
        result.skipped[ALERTS] = dict(replay.versions.refused)
    for query_id, query in replay.engine.queries.items():
        if query.skipped:
            result.skipped[query_id] = dict(query.skipped)
        if query.failure is not None:
            result.ended[query_id] = query.failure
    return result


def with_labels(payments: Iterable[LabelledPayment], delay_ms: int) -> Iterator[tuple[int | None, Sent]]:
    """The records of the payments with their numbers, and among them the labels (without a number) when their time has come."""
    pending: list[LabelledPayment] = []
    known = 0
    for number, payment in enumerate(payments):
        while known < len(pending) and pending[known].at_ms + delay_ms <= payment.at_ms:
            yield None, _label(pending[known], delay_ms)
            known += 1
        yield number, Sent(TRANSACTIONS, payment.account.encode(), payment.value, payment.at_ms)
        if payment.is_fraud:
            pending.append(payment)


def _label(payment: LabelledPayment, delay_ms: int) -> Sent:
    fields = orjson.loads(payment.value)
    reported_at = payment.at_ms + delay_ms
    value = {
        "transaction_id": fields["transaction_id"],
        "account_id": payment.account,
        "merchant_id": payment.merchant,
        "amount": fields["amount"],
        "is_fraud": True,
        "reason": payment.label,
        "event_time": payment.at_ms,
        "reported_at": reported_at,
    }
    return Sent(LABELS, payment.account.encode(), orjson.dumps(value), reported_at)
