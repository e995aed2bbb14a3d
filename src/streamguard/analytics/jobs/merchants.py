"""How merchants perform and how risky they are."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import AMOUNT, average, earned_flat, held, payments, share, text, total
from streamguard.analytics.truth import BLOCK, REVIEW, cases

PRIOR = 50.0
"""So many payments at the mean share of fraud are added to each merchant's, so that few payments do not make one risky."""
PASSES = 4
HIGH, RAISED = 3.0, 1.5
"""Risk is high or raised from so many times the mean share on."""


@job(
    "merchants",
    "How merchants perform, and their risk",
    "What is sold where, and how much of it is fraud. The risk share is drawn towards the mean by 50 payments, so that few"
    " payments do not make a merchant risky; risk is raised from 1.5 times the mean on, high from 3 times.",
    "transaction_id account_id amount currency transaction_type merchant_id merchant_name merchant_category is_fraud",
)
def run(sources: Sources) -> Tables:
    """`merchants` by currency, the greatest amount first, and `by_category`.

    `fraud_share` is by number; `risk_share` is the same, drawn towards the mean of the currency by `PRIOR` payments.
    """
    key = ["currency", "merchant_id"]
    paid = sources.transactions.where(F.col("merchant_id").isNotNull())
    sold = paid.groupBy(*key).agg(
        F.max("merchant_name").alias("merchant_name"),
        F.max("merchant_category").alias("merchant_category"),
        payments(),
        total(),
        earned_flat(sources.rates),
    )
    sold = held(sold).join(_accounts(paid, key), key)
    found = (
        cases(sources)
        .groupBy(*key)
        .agg(
            F.count_if(F.col("fraud")).alias("frauds"),
            F.sum(F.when(F.col("fraud"), F.col("amount"))).cast(AMOUNT).alias("fraud_amount"),
            F.count_if(F.col("outcome") == BLOCK).alias("blocked"),
            F.count_if(F.col("outcome") == REVIEW).alias("reviewed"),
        )
    )
    counts = [F.coalesce(F.col(name), F.lit(0)).cast("long").alias(name) for name in ("frauds", "blocked", "reviewed")]
    lost = F.coalesce(F.col("fraud_amount"), F.lit("0").cast(AMOUNT)).cast(AMOUNT).alias("fraud_amount")
    both = sold.join(found, key, "left").select(*sold.columns, *counts, lost)
    mean = share(
        F.sum("frauds").over(Window.partitionBy("currency")), F.sum("payments").over(Window.partitionBy("currency"))
    )
    risk = both.select(
        "*", average(), share(F.col("frauds"), F.col("payments")).alias("fraud_share"), mean.alias("mean_share")
    ).select("*", _risk_share().alias("risk_share"))
    merchants = risk.select("*", _level().alias("risk")).orderBy("currency", F.desc("amount"), "merchant_id")
    return {"merchants": merchants.drop("mean_share"), "by_category": _by_category(both)}


def _accounts(paid: DataFrame, key: list[str]) -> DataFrame:
    """How many accounts paid each merchant. There may be as many pairs as payments: a part of the merchants at a time, they fit
    into memory, and are counted twice as fast as by way of temporary files."""
    pairs = paid.select(*key, "account_id")
    parts = [
        held(
            pairs.where(F.pmod(F.hash("merchant_id"), F.lit(PASSES)) == number)
            .distinct()
            .groupBy(*key)
            .agg(F.count(F.lit(1)).alias("accounts"))
        )
        for number in range(PASSES)
    ]
    return reduce(DataFrame.unionByName, parts)


def _risk_share() -> Column:
    return (F.col("frauds").cast("double") + F.lit(PRIOR) * F.col("mean_share")) / (
        F.col("payments").cast("double") + F.lit(PRIOR)
    )


def _level() -> Column:
    times = [F.col("risk_share") > F.lit(limit) * F.col("mean_share") for limit in (HIGH, RAISED)]
    return F.when(times[0], "high").when(times[1], "raised").otherwise("usual")


def _by_category(both: DataFrame) -> DataFrame:
    names = ("payments", "frauds", "blocked", "reviewed")
    sums = [F.sum(name).alias(name) for name in names]
    sums += [F.sum(name).cast(AMOUNT).alias(name) for name in ("amount", "fraud_amount")]
    found = both.groupBy("currency", text("merchant_category")).agg(F.count(F.lit(1)).alias("merchants"), *sums)
    rates = [
        share(F.col("frauds"), F.col("payments")).alias("fraud_share"),
        share(F.col("fraud_amount"), F.col("amount")).alias("fraud_amount_share"),
    ]
    return found.select("*", *rates).orderBy("currency", "merchant_category")
