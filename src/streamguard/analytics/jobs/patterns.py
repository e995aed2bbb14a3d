"""When people pay: hours, weekdays, days, and the hours that stood out. All hours are UTC."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import average, held, payments, share, sums, total

PEAKS = 10
"""Hours that are named for each currency."""


@job(
    "patterns",
    "When people pay",
    "Payments by hour, weekday and day (UTC), and the hours that had most above the mean of the same hour of the same weekday.",
    "amount currency event_time",
)
def run(sources: Sources) -> Tables:
    """`by_hour`, `by_weekday`, `by_hour_of_week`, `by_day` by currency, and `peaks`, the hours furthest above their usual.

    Weekdays are 1 (Monday) to 7. `hours` or `days` is how many of them had payments.
    """
    hours = held(
        sources.transactions.groupBy("currency", F.date_trunc("hour", F.col("event_time")).alias("at")).agg(
            payments(), total()
        )
    ).select(
        "*",
        F.to_date("at").alias("day"),
        F.hour("at").alias("hour"),
        # Not F.weekday, which is -1 for Sundays in pysail.
        ((F.dayofweek("at") + 5) % 7 + 1).cast("int").alias("weekday"),
    )
    return {
        "by_hour": _by(hours, "hour"),
        "by_weekday": _by(hours, "weekday"),
        "by_hour_of_week": _by(hours, "weekday", "hour"),
        "by_day": hours.groupBy("currency", "day").agg(*sums()).select("*", average()).orderBy("currency", "day"),
        "peaks": _peaks(hours),
    }


def _by(hours: DataFrame, *keys: str) -> DataFrame:
    count = F.countDistinct("day").alias("days")
    return hours.groupBy("currency", *keys).agg(*sums(), count).select("*", average()).orderBy("currency", *keys)


def _peaks(hours: DataFrame) -> DataFrame:
    """Hours with the most payments above the mean of the same hour of the same weekday, which `times` divides by."""
    same = Window.partitionBy("currency", "weekday", "hour")
    usual = (F.sum("payments").over(same).cast("double") / F.count(F.lit(1)).over(same).cast("double")).alias("usual")
    found = hours.select("currency", "at", "payments", "amount", usual)
    place = F.row_number().over(
        Window.partitionBy("currency").orderBy(F.desc(F.col("payments") - F.col("usual")), "at")
    )
    ranked = found.select(
        "currency",
        place.alias("rank"),
        "at",
        "payments",
        "amount",
        "usual",
        share(F.col("payments"), F.col("usual")).alias("times"),
    )
    return ranked.where((F.col("rank") <= PEAKS) & (F.col("payments") > F.col("usual"))).orderBy("currency", "rank")
