"""What payments earn under each structure of commission, and which structure earns most of a category."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import (
    EARNED,
    STRUCTURES,
    commission,
    earns,
    held,
    payments,
    share,
    sums,
    text,
    total,
)


@job(
    "commission",
    "Commission under each structure",
    "What the same payments earn at one flat rate, progressively (each part of an amount at the rate of its band), tiered"
    " (the whole amount at one rate, small payments dearest) and at a rate for each category.",
    "amount currency transaction_type merchant_category",
)
def run(sources: Sources) -> Tables:
    """`by_category`, `by_type`: what is earned by currency, the rate that this is of the amount, and the best structure."""
    paid = sources.transactions.where(earns(sources.rates))
    earned = [F.sum(commission(name, sources.rates)).cast(EARNED).alias(name) for name in STRUCTURES]
    by_both = held(
        paid.groupBy("currency", text("merchant_category"), text("transaction_type")).agg(payments(), total(), *earned)
    )
    return {
        "by_category": _rolled_up(by_both, "merchant_category"),
        "by_type": _rolled_up(by_both, "transaction_type"),
    }


def _rolled_up(by_both: DataFrame, key: str) -> DataFrame:
    earned = [F.sum(name).cast(EARNED).alias(name) for name in STRUCTURES]
    rates = [share(F.col(name), F.col("amount")).alias(f"{name}_rate") for name in STRUCTURES]
    found = by_both.groupBy("currency", key).agg(*sums(), *earned)
    return found.select("*", *rates, _best().alias("best")).orderBy("currency", key)


def _best() -> Column:
    """The structure that earns most; of equal ones the first."""
    most = F.greatest(*STRUCTURES)
    return reduce(
        lambda other, name: F.when(F.col(name) == most, name).otherwise(other), reversed(STRUCTURES), F.lit("")
    )
