"""What comes in by day, what may be expected next, and how far such expectations were off."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import EARNED, earned_flat, held, payments, sums, total
from streamguard.analytics.forecast import forecast

_FORECAST = pa.schema(
    [
        ("currency", pa.string()),
        ("day", pa.date32()),
        ("expected", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
_ERROR = pa.schema(
    [
        ("currency", pa.string()),
        ("days", pa.int32()),
        ("held_out", pa.int32()),
        ("error", pa.float64()),
        ("error_same_day_last_week", pa.float64()),
    ]
)


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
        "forecast": spark.createDataFrame(pa.Table.from_pylist(expected, _FORECAST)),
        "error": spark.createDataFrame(pa.Table.from_pylist(errors, _ERROR)),
    }


def _forecasts(rows: list[dict[str, Any]], sources: Sources) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of `forecast` and `error`, from whole days: a day in which nothing was paid is one."""
    first, last = _whole_days(sources.since, sources.until)
    expected, errors = [], []
    for currency in sorted({row["currency"] for row in rows}):
        earned = {row["day"]: float(row["commission"]) for row in rows if row["currency"] == currency}
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        found = forecast([earned.get(day, 0.0) for day in days])
        if found is None:
            continue
        errors.append(
            {
                "currency": currency,
                "days": len(days),
                "held_out": found.held_out,
                "error": found.error,
                "error_same_day_last_week": found.error_same_day_last_week,
            }
        )
        for number, value in enumerate(found.expected, 1):
            low, high = max(0.0, value * (1 - found.error)), value * (1 + found.error)
            day = last + timedelta(days=number)
            expected.append({"currency": currency, "day": day, "expected": value, "low": low, "high": high})
    return expected, errors


def _whole_days(since: datetime, until: datetime) -> tuple[date, date]:
    """The first and last day that lie in the range from midnight to midnight."""
    first = since.date() if since.time() == datetime.min.time() else since.date() + timedelta(days=1)
    return first, until.date() - timedelta(days=1)
