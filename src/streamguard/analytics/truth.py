"""What is known of payments: whether they are fraud, and what the rules made of them.

A payment is fraud where its label says so; where it has none, where an analyst has confirmed an alert on it and has not changed
that since. The rules block it, leave it for review, or say nothing.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources

BLOCK, REVIEW, NOTHING = "block", "review", "nothing"


def cases(sources: Sources) -> DataFrame:
    """The payments that are fraud or that the rules flagged, with `fraud` and `outcome`: few of all there are.

    Only the few are joined: the engine keeps their ids in memory, and reads the payments past them.
    """
    judged, paid = _judged(sources.decisions), sources.transactions
    known = paid.where(F.col("is_fraud")).join(judged.drop("confirmed"), "transaction_id", "left")
    found = F.broadcast(judged).join(paid.where(F.coalesce(~F.col("is_fraud"), F.lit(True))), "transaction_id")
    labelled = known.select("*", F.lit(True).alias("fraud"))
    others = found.select("*", (F.col("is_fraud").isNull() & F.col("confirmed")).alias("fraud"))
    columns = [*paid.columns, "fraud", "outcome"]
    both = labelled.select(*columns).unionByName(others.select(*columns))
    outcome = F.coalesce(F.col("outcome"), F.lit(NOTHING))
    return both.withColumn("outcome", outcome).where(F.col("fraud") | (F.col("outcome") != NOTHING))


def _judged(decisions: DataFrame) -> DataFrame:
    """By transaction: the strongest outcome of the rules, and whether an analyst's last word on an alert on it is confirmed."""
    by_rules = F.col("decided_by") == "rules"
    newest = Window.partitionBy("alert_id", "by_rules").orderBy(F.desc("decided_at"), F.desc("tx_count"), "outcome")
    ranked = (
        decisions.where(F.col("transaction_id").isNotNull())
        .select("*", by_rules.alias("by_rules"))
        .select("*", F.row_number().over(newest).alias("rank"))
    )
    strongest = F.max(
        F.when(by_rules & (F.col("outcome") == BLOCK), 2).when(by_rules & (F.col("outcome") == REVIEW), 1).otherwise(0)
    )
    last_word = (F.col("rank") == 1) & ~by_rules & (F.col("outcome") == "confirmed")
    return (
        ranked.groupBy("transaction_id")
        .agg(strongest.alias("strength"), (F.count_if(last_word) > 0).alias("confirmed"))
        .select(
            "transaction_id",
            F.when(F.col("strength") == 2, BLOCK)
            .when(F.col("strength") == 1, REVIEW)
            .otherwise(NOTHING)
            .alias("outcome"),
            "confirmed",
        )
    )
