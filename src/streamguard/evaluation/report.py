"""Score everything, then report week by week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from streamguard.evaluation.data import CardPayment, DataError
from streamguard.evaluation.metrics import Hits, card_precision, hits, ranking
from streamguard.evaluation.rules import Limits, Points, Scorer
from streamguard.evaluation.split import DELAY_DAYS, TEST_DAYS, TRAIN_DAYS, Scored, test_week, test_weeks

ALERT_AT = 0.5
"""Points from which a payment counts as flagged."""


@dataclass(frozen=True)
class Report:
    """The figures of one test week."""

    start: date
    payments: int
    frauds: int
    rules: dict[str, Hits]
    together: Hits
    average_precision: float
    auc: float
    card_precision: float


def evaluate(
    payments: Sequence[CardPayment], starts: Sequence[date] | None = None, limits: Limits | None = None
) -> list[Report]:
    """One report per test week; of all that fit the data where none is asked for. Raises DataError where none does."""
    first, last = min(payment.day for payment in payments), max(payment.day for payment in payments)
    epoch = date(1970, 1, 1)
    needed = TRAIN_DAYS + DELAY_DAYS + TEST_DAYS
    if last - first + 1 < needed:
        raise DataError(
            f"{last - first + 1} days of payments ({epoch + timedelta(first)} to {epoch + timedelta(last)}) are too few: a test "
            f"week needs {needed} days, a week of training, a week for labels to arrive and the week itself"
        )
    for start in starts or ():
        if not first + TRAIN_DAYS + DELAY_DAYS <= (start - epoch).days <= last:
            raise DataError(
                f"no test week from {start}: the payments are of {epoch + timedelta(first)} to {epoch + timedelta(last)}, "
                "and two weeks have to precede it"
            )
    scorer = Scorer(limits)
    scored: list[Scored] = [(payment, scorer.score(payment)) for payment in payments]
    wanted = [(start - epoch).days for start in starts] if starts else test_weeks([p.day for p in payments])
    reports = [_report(epoch + timedelta(days=start), test_week(scored, start)) for start in wanted]
    if not any(report.frauds for report in reports):
        raise DataError(
            "no payment of the test weeks is labelled as fraud: there is nothing to find, and nothing to measure"
        )
    return reports


def _report(start: date, days: list[list[Scored]]) -> Report:
    test = [pair for day in days for pair in day]
    average_precision, auc = ranking([(points.together, payment.is_fraud) for payment, points in test])
    return Report(
        start=start,
        payments=len(test),
        frauds=sum(payment.is_fraud for payment, _ in test),
        rules={
            name: hits((points[index] >= ALERT_AT, payment.is_fraud) for payment, points in test)
            for index, name in enumerate(Points._fields)
        },
        together=hits((points.together >= ALERT_AT, payment.is_fraud) for payment, points in test),
        average_precision=average_precision,
        auc=auc,
        card_precision=card_precision([[(p.card, s.together, p.is_fraud) for p, s in day] for day in days]),
    )
