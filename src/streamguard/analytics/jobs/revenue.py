"""What comes in by day, what may be expected next, and how far such expectations were off."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import EARNED, earned_flat, held, payments, sums, total
from streamguard.analytics.forecast import forecast

_FORECAST = "currency string, day date, expected double, low double, high double"
_ERROR = "currency string, days int, held_out int, error double, error_same_day_last_week double"
_Row = tuple[Any, ...]


@job(
    "revenue",
    "Revenue and what to expect",
    "Commission (flat rate) by day, and a forecast of two weeks: a straight line times what each weekday usually is of it. Its"
    " error was measured on the last days, which it was not given.",
    "amount currency transaction_type event_time",
)
def run(sources: Sources) -> Tables:
    """`by_day`, `by_month`, `forecast` (commission of the 14 days after the last whole one) and its `error` by currency.

    The error is the sum of the deviations on the held-out days over the sum of what came in. See `forecast` for the method;
    a currency with less than four whole weeks has none.
    """
    day = F.to_date("event_time").alias("day")
    by_day = held(
        sources.transactions.groupBy("currency", day).agg(payments(), total(), earned_flat(sources.rates))
    ).orderBy("currency", "day")
    month = F.date_format("day", "yyyy-MM").alias("month")
    by_month = by_day.groupBy("currency", month).agg(*sums(), F.sum("commission").cast(EARNED).alias("commission"))
    expected, errors = _forecasts(by_day.select("currency", "day", "commission").toArrow().to_pylist(), sources)
    spark = sources.transactions.sparkSession
    return {
        "by_month": by_month.orderBy("currency", "month"),
        "by_day": by_day,
        "forecast": spark.createDataFrame(expected, _FORECAST),
        "error": spark.createDataFrame(errors, _ERROR),
    }


def _forecasts(rows: list[dict[str, Any]], sources: Sources) -> tuple[list[_Row], list[_Row]]:
    """The rows of `forecast` and `error`, from whole days: a day in which nothing was paid is one."""
    first, last = _whole_days(sources.since, sources.until)
    expected: list[_Row] = []
    errors: list[_Row] = []
    for currency in sorted({row["currency"] for row in rows}):
        earned = {row["day"]: float(row["commission"]) for row in rows if row["currency"] == currency}
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        found = forecast([earned.get(day, 0.0) for day in days])
        if found is None:
            continue
        errors.append((currency, len(days), found.held_out, found.error, found.error_same_day_last_week))
        for number, value in enumerate(found.expected, 1):
            low, high = max(0.0, value * (1 - found.error)), value * (1 + found.error)
            expected.append((currency, last + timedelta(days=number), value, low, high))
    return expected, errors


def _whole_days(since: datetime, until: datetime) -> tuple[date, date]:
    """The first and last day that lie in the range from midnight to midnight."""
    first = since.date() if since.time() == datetime.min.time() else since.date() + timedelta(days=1)
    return first, until.date() - timedelta(days=1)
