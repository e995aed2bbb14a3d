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
from streamguard.evaluation.division import division
from streamguard.evaluation.processes import score_divided
from streamguard.evaluation.replay import LABELS, TRANSACTIONS, RuleSet, Sent
from streamguard.evaluation.scorer import BATCH, Hit, Numbered, Scorer, Summary


@dataclass(slots=True)
class Score:
    """What the rules say of one payment: the highest score of its alerts, 0 to 100, and 0 without any.

    `flagged` is whether one of them is not dismissed; `rules` are the SQL rules that raised it and the Python rules that
    gave points for fraud.
    """

    points: int = 0
    flagged: bool = False
    rules: frozenset[str] = frozenset()

    def add(self, hit: Hit) -> None:
        """Take one version of an alert in."""
        self.points = max(self.points, hit.points)
        self.flagged = self.flagged or hit.flagged
        self.rules = self.rules | hit.rules


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
    processes: int = 1,
) -> Scores:
    """Run `payments`, in order of time, through the rules. Raises DeployError, and UserError where a process ends.

    The result is the same for any number of `processes` (`processes_for` says how many are soonest done).
    """
    delay_ms = label_delay_days * DAY_MS
    scorer = Scorer(rules)
    how = division(scorer.replay.engine) if processes > 1 else None
    hits: list[Hit] = []
    if how is not None:

        def take(count: int, found: list[Hit]) -> None:
            hits.extend(found)
            progress(count)

        summaries = score_divided(_numbered(payments, delay_ms), rules, processes, how, take)
        if summaries is not None:
            return _scores(len(payments), hits, summaries)
        # A query has ended. It goes back to the beginning: see `processes`.
        hits.clear()
        progress = _nowhere
    records = _numbered(payments, delay_ms)
    while batch := list(islice(records, BATCH)):
        hits += scorer.feed(batch)
        progress(len(batch))
    return _scores(len(payments), hits, [scorer.summary()])


def _nowhere(count: int) -> None:
    """Progress that was shown already."""


def _numbered(payments: Iterable[LabelledPayment], delay_ms: int) -> Iterator[Numbered]:
    """The records of the payments, in their order, and among them the labels when their time has come.

    Each kind has its own numbers.
    """
    pending: list[LabelledPayment] = []
    known = 0
    for number, payment in enumerate(payments):
        at_ms = payment.at_ms
        while known < len(pending) and pending[known].at_ms + delay_ms <= at_ms:
            yield known, *_label(pending[known], delay_ms)
            known += 1
        yield number, TRANSACTIONS, payment.account.encode(), payment.value, at_ms
        if payment.label:
            pending.append(payment)


def _scores(payments: int, hits: Iterable[Hit], summaries: Iterable[Summary]) -> Scores:
    """The scores of so many payments. A version that several payments raised, by the same ids, is the first one's."""
    result = Scores([NOTHING] * payments)
    known: set[tuple[str, int]] = set()
    for hit in sorted(hits, key=lambda hit: hit.payment):
        version = (hit.alert_id, hit.tx_count)
        if version in known:
            continue
        known.add(version)
        if result.of[hit.payment] is NOTHING:
            result.of[hit.payment] = Score()
        result.of[hit.payment].add(hit)
        result.alerts[hit.rule] += 1
    for summary in summaries:
        result.unknown += summary.unknown
        result.ended |= summary.ended
        for query_id, reasons in summary.skipped.items():
            result.skipped[query_id] = dict(Counter(result.skipped.get(query_id, {})) + Counter(reasons))
    return result


def with_labels(payments: Iterable[LabelledPayment], delay_ms: int) -> Iterator[tuple[int | None, Sent]]:
    """The records of the payments with their numbers, and among them the labels, without a number."""
    for number, topic, key, value, time in _numbered(payments, delay_ms):
        yield None if topic == LABELS else number, Sent(topic, key, value, time)


def _label(payment: LabelledPayment, delay_ms: int) -> tuple[str, bytes, bytes, int]:
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
    return LABELS, payment.account.encode(), orjson.dumps(value), reported_at
