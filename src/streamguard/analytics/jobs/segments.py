"""Customers in segments: by when they last paid, how often and how much (RFM), with a name; and in clusters of these scores."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.clusters import cluster
from streamguard.analytics.columns import held, payments, share, sums, total

SCORES = ("recency", "frequency", "spend")


def named(recency: Column, frequency: Column, spend: Column) -> Column:
    """The segment of scores of 1 to 5: the first rule that holds gives the name."""
    rules = [
        ((recency >= 4) & (frequency >= 4) & (spend >= 4), "best customers"),
        ((recency <= 2) & (frequency >= 4) & (spend >= 4), "best customers, nearly lost"),
        ((recency >= 3) & (frequency >= 4), "loyal"),
        ((recency >= 3) & (spend >= 4), "big spenders"),
        ((recency >= 4) & (frequency <= 2), "new or back again"),
        ((recency <= 2) & ((frequency >= 3) | (spend >= 3)), "slipping away"),
        (recency <= 2, "dormant"),
    ]
    return reduce(lambda other, rule: F.when(rule[0], rule[1]).otherwise(other), reversed(rules), F.lit("regular"))


@job(
    "segments",
    "Segments of customers",
    "Accounts by when they last paid, how often and how much: scores of 1 to 5, each a fifth of the accounts, with a name. The"
    " clusters are groups of accounts whose scores are alike.",
    "account_id amount currency event_time",
)
def run(sources: Sources) -> Tables:
    """`by_segment` and `by_cluster` by currency, and `accounts`: each with its scores, segment and cluster.

    A score is the fifth of the accounts of the currency that an account is in, 5 the best: equal values, equal scores.
    """
    last = F.max("event_time").alias("last_at")
    accounts = sources.transactions.groupBy("currency", "account_id").agg(payments(), total(), last)
    scored = accounts.select(
        "*", _fifth("last_at").alias("recency"), _fifth("payments").alias("frequency"), _fifth("amount").alias("spend")
    )
    scored = held(scored.select("*", named(*map(F.col, SCORES)).alias("segment")))
    clustered = F.broadcast(_clusters(scored)).join(scored, list(SCORES))
    return {
        "by_segment": _sizes(scored, "segment"),
        "by_cluster": _sizes(clustered, "cluster"),
        "accounts": clustered.select(
            "currency", "account_id", "segment", "cluster", *SCORES, "last_at", "payments", "amount"
        ).orderBy("currency", F.desc("amount"), "account_id"),
    }


def _fifth(column: str) -> Column:
    """1 to 5 by rank within the currency, in whole numbers: no rounding decides."""
    rank = F.rank().over(Window.partitionBy("currency").orderBy(column))
    count = F.count(F.lit(1)).over(Window.partitionBy("currency"))
    # pmod, for a quotient of whole numbers that no engine makes through doubles.
    scaled = (rank.cast("long") - 1) * 5
    return (((scaled - F.pmod(scaled, count)) / count).cast("int") + 1).cast("int")


def _clusters(scored: DataFrame) -> DataFrame:
    """Which cluster each combination of scores is in. There are 125 at most, however many accounts."""
    counted = scored.groupBy(*SCORES).agg(F.count(F.lit(1)).alias("accounts")).toArrow().to_pylist()
    found = cluster({tuple(row[name] for name in SCORES): row["accounts"] for row in counted})
    columns: dict[str, pa.Array] = {
        name: pa.array([cell[place] for cell in found], pa.int32()) for place, name in enumerate(SCORES)
    }
    return scored.sparkSession.createDataFrame(pa.table({**columns, "cluster": pa.array(found.values(), pa.string())}))


def _sizes(accounts: DataFrame, key: str) -> DataFrame:
    together = Window.partitionBy("currency")
    means = [(F.sum(name).cast("double") / F.count(F.lit(1)).cast("double")).alias(f"mean_{name}") for name in SCORES]
    found = accounts.groupBy("currency", key).agg(F.count(F.lit(1)).alias("accounts"), *sums(), *means)
    shares = [share(F.col(name), F.sum(name).over(together)).alias(f"{name}_share") for name in ("accounts", "amount")]
    return found.select("*", *shares).orderBy("currency", F.desc("amount"), key)
