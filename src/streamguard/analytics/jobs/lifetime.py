"""Lifetime value: what each account has earned, and what it may be expected to earn in the next twelve months.

An account earns `monthly` in each month since its first payment. Of the accounts that paid in one month of 30 days, the share
`retention` paid in the next, measured on the last two. So the next twelve months are worth monthly * (r + r^2 + ... + r^12), and
that times r for each whole month since its last payment.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import EARNED, earned_flat, held, payments, share, sums, total

MONTH_MS = 30 * 86_400_000
MONTHS = 12
TENTH = 10


@job(
    "lifetime",
    "What customers are worth",
    "The commission (flat rate) that accounts have brought, and what they may bring in the next twelve months if they stay at"
    " the rate at which accounts stayed last month.",
    "account_id amount currency transaction_type event_time",
)
def run(sources: Sources) -> Tables:
    """`by_currency` with retention and sums, and `accounts`, the most valuable first.

    Without 60 days of payments nothing is expected: `retention` and `expected` are null.
    """
    until_ms = round(sources.until.timestamp() * 1000)
    at = F.unix_millis("event_time")
    accounts = held(
        sources.transactions.groupBy("currency", "account_id").agg(
            payments(),
            total(),
            earned_flat(sources.rates),
            F.min("event_time").alias("first_at"),
            F.max("event_time").alias("last_at"),
            (F.count_if((at >= until_ms - 2 * MONTH_MS) & (at < until_ms - MONTH_MS)) > 0).alias("before"),
            (F.count_if(at >= until_ms - MONTH_MS) > 0).alias("lately"),
        )
    )
    enough = sources.until - sources.since >= timedelta(days=60)
    both, before = F.count_if(F.col("before") & F.col("lately")), F.count_if(F.col("before"))
    kept = share(both, before) if enough else F.lit(None).cast("double")
    retention = accounts.groupBy("currency").agg(kept.alias("retention"))
    valued = F.broadcast(retention).join(accounts, "currency").select("*", *_value(until_ms))
    valued = valued.select("*", _expected().alias("expected"))
    return {
        "by_currency": valued.groupBy("currency", "retention")
        .agg(
            F.count(F.lit(1)).alias("accounts"),
            *sums(),
            F.sum("commission").cast(EARNED).alias("commission"),
            F.sum("expected").alias("expected"),
        )
        .orderBy("currency"),
        "top_tenth": _top_tenth(accounts),
        "accounts": valued.select(
            *("currency", "account_id", "payments", "amount", "commission", "first_at", "last_at"),
            *("monthly", "months_idle", "expected"),
        ).orderBy("currency", F.desc("commission"), "account_id"),
    }


def _value(until_ms: int) -> tuple[Column, Column]:
    age = F.lit(until_ms) - F.unix_millis("first_at")
    months = F.greatest(age.cast("double") / F.lit(float(MONTH_MS)), F.lit(1.0))
    idle = F.lit(until_ms) - F.unix_millis("last_at")
    return (
        (F.col("commission").cast("double") / months).alias("monthly"),
        F.floor(idle.cast("double") / F.lit(float(MONTH_MS))).cast("int").alias("months_idle"),
    )


def _expected() -> Column:
    powers = [F.pow(F.col("retention"), F.col("months_idle") + month) for month in range(1, MONTHS + 1)]
    return F.col("monthly") * sum(powers[1:], powers[0])


def _top_tenth(accounts: DataFrame) -> DataFrame:
    """Which share of the commission the most valuable tenth of the accounts brings."""
    place = F.row_number().over(Window.partitionBy("currency").orderBy(F.desc("commission"), "account_id"))
    count = F.count(F.lit(1)).over(Window.partitionBy("currency"))
    ranked = accounts.select("currency", "commission", (place * TENTH <= count).alias("top"))
    top = F.sum(F.when(F.col("top"), F.col("commission"))).cast(EARNED)
    return (
        ranked.groupBy("currency")
        .agg(
            F.count_if(F.col("top")).alias("accounts"),
            top.alias("commission"),
            share(top, F.sum("commission")).alias("share"),
        )
        .orderBy("currency")
    )
