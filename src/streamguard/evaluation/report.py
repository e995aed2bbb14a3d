"""The figures of the scores: by test week, their mean, and of a range of days as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from statistics import fmean
from typing import Any

from streamguard.evaluation.data import DataError, LabelledPayment
from streamguard.evaluation.metrics import Day, Hits, card_precision, hits, ranking
from streamguard.evaluation.scores import NOTHING, Score
from streamguard.evaluation.split import DELAY_DAYS, TEST_DAYS, TRAIN_DAYS, Scored, by_day, test_week, test_weeks

_EPOCH = date(1970, 1, 1)
TOGETHER = "together"


@dataclass(frozen=True)
class Figures:
    """Of some payments: how well each rule, and all together, told fraud from honest payments.

    `money_found` is the amount of the frauds that were flagged, `money` that of all; a rule without an alert is left out.
    """

    start: date
    end: date
    """The last day."""
    payments: int
    frauds: int
    average_precision: float
    auc: float
    card_precision_100: float
    money: float
    money_found: float
    rules: dict[str, Hits]

    def to_json(self) -> dict[str, Any]:
        """As the report for machines has it."""
        fields = asdict(self)
        fields["rules"] = {name: found._asdict() for name, found in self.rules.items()}
        return {"from": fields.pop("start").isoformat(), "to": fields.pop("end").isoformat(), **fields}


@dataclass(frozen=True)
class Report:
    """The test weeks, and the whole range of days where one was asked for."""

    weeks: list[Figures]
    whole: Figures | None = None

    def mean(self) -> dict[str, float]:
        """The means of the weeks."""
        names = ("average_precision", "auc", "card_precision_100")
        return {name: fmean(getattr(week, name) for week in self.weeks) for name in names}

    def rules(self) -> dict[str, dict[str, float]]:
        """By rule, over the weeks: alerts in all, means of the shares over the weeks in which the rule raised any."""
        found: dict[str, dict[str, float]] = {}
        for name in sorted({name for week in self.weeks for name in week.rules}):
            weeks = [week.rules[name] for week in self.weeks if name in week.rules]
            shares = {field: fmean(getattr(hits, field) for hits in weeks) for field in ("precision", "recall", "f1")}
            found[name] = {"alerts": sum(hits.alerts for hits in weeks), **shares}
        return found

    def to_json(self) -> dict[str, Any]:
        """The report for machines."""
        result: dict[str, Any] = {
            "weeks": [week.to_json() for week in self.weeks],
            "mean": self.mean() if self.weeks else {},
            "rules": self.rules(),
        }
        return result if self.whole is None else {**result, "range": self.whole.to_json()}


def report(
    payments: Sequence[LabelledPayment],
    scores: Sequence[Score],
    starts: Sequence[date] | None = None,
    whole: tuple[date, date] | None = None,
) -> Report:
    """The figures of the test weeks that begin on `starts`, or of all that fit, and of a range of days (both included).

    In a test week cards that are known as compromised are left out; in the range every payment counts. Raises DataError.
    """
    scored = by_day(zip(payments, scores, strict=True))
    weeks = []
    if whole is None or starts:
        weeks = [_week(scored, start) for start in _checked(scored, starts)]
    figures = None if whole is None else _range(scored, *whole)
    if not any(found.frauds for found in [*weeks, *([figures] if figures else [])]):
        raise DataError(
            "no payment of the test weeks is labelled as fraud: there is nothing to find, and nothing to measure"
        )
    return Report(weeks, figures)


def check_days(payments: Sequence[LabelledPayment], starts: Sequence[date] | None) -> None:
    """Raise DataError where no test week, or not each of those asked for, fits the payments."""
    _checked({payment.day for payment in payments}, starts)


def _checked(days: Iterable[int], starts: Sequence[date] | None) -> list[int]:
    """The first days of the test weeks. Raises DataError."""
    first, last = min(days), max(days)
    between = f"{_EPOCH + timedelta(first)} to {_EPOCH + timedelta(last)}"
    needed = TRAIN_DAYS + DELAY_DAYS + TEST_DAYS
    if last - first + 1 < needed:
        raise DataError(
            f"{last - first + 1} days of payments ({between}) are too few: a test week needs {needed} days, a week of training,"
            " a week for labels to arrive and the week itself"
        )
    wanted = [(start - _EPOCH).days for start in starts] if starts else test_weeks([first, last])
    for start in wanted:
        if not first + TRAIN_DAYS + DELAY_DAYS <= start <= last:
            raise DataError(
                f"no test week from {_EPOCH + timedelta(start)}: the payments are of {between}, and two weeks have to precede it"
            )
    return wanted


def _week(scored: Mapping[int, Sequence[Scored]], start: int) -> Figures:
    return _figures(test_week(scored, start), start, start + TEST_DAYS - 1)


def _range(scored: Mapping[int, Sequence[Scored]], first: date, last: date) -> Figures:
    start, end = (first - _EPOCH).days, (last - _EPOCH).days
    days = [scored.get(day, ()) for day in range(start, end + 1)]
    if not any(days):
        raise DataError(f"there are no payments from {first} to {last}")
    return _figures(days, start, end)


def _figures(days: Sequence[Sequence[Scored]], start: int, end: int) -> Figures:
    # Few payments have a score or are fraud: the rest is counted, and not looked at one by one.
    total = sum(map(len, days))
    raised = [[pair for pair in day if pair[1] is not NOTHING] for day in days]
    frauds = [[pair for pair in day if pair[0].label] for day in days]
    counts: Counter[tuple[float, bool]] = Counter(
        (score.points, payment.is_fraud) for day in raised for payment, score in day
    )
    missed = sum(score is NOTHING for day in frauds for _, score in day)
    counts[0, True] += missed
    counts[0, False] += total - sum(map(len, raised)) - missed
    average_precision, auc = ranking(counts)
    found = [pair for day in frauds for pair in day]
    return Figures(
        start=_EPOCH + timedelta(start),
        end=_EPOCH + timedelta(end),
        payments=total,
        frauds=len(found),
        average_precision=average_precision,
        auc=auc,
        card_precision_100=card_precision(map(_cards, days, raised, frauds)),
        money=round(sum(payment.amount for payment, _ in found), 2),
        money_found=round(sum(payment.amount for payment, score in found if score.flagged), 2),
        rules=_by_rule((pair for day in raised for pair in day), len(found)),
    )


def _cards(day: Sequence[Scored], raised: Sequence[Scored], frauds: Sequence[Scored]) -> Day:
    scores: dict[str, float] = {}
    for payment, score in raised:
        if score.points > scores.get(payment.account, 0):
            scores[payment.account] = score.points
    return Day(
        frozenset([payment.account for payment, _ in day]),
        scores,
        frozenset([payment.account for payment, _ in frauds]),
    )


def _by_rule(raised: Iterable[Scored], frauds: int) -> dict[str, Hits]:
    """The hits of each rule that had any, and of the decisions that are not dismissals."""
    alerts: Counter[str] = Counter({TOGETHER: 0})
    right: Counter[str] = Counter()
    for payment, score in raised:
        names = {*score.rules, TOGETHER} if score.flagged else score.rules
        alerts.update(names)
        if payment.is_fraud:
            right.update(names)
    order = [*sorted(alerts.keys() - {TOGETHER}), TOGETHER]
    return {name: hits(alerts[name], right[name], frauds) for name in order}
