"""What fraud cost, what the rules saved, and what that cost honest payers."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import AMOUNT, held, share
from streamguard.analytics.truth import BLOCK, NOTHING, REVIEW, cases


@job(
    "losses",
    "Fraud: lost and saved",
    "Fraud as labels say, or analysts where there is no label: blocked by the rules (saved), left for review, or not noticed"
    " (lost); and what honest people were kept from.",
    "transaction_id amount currency event_time is_fraud",
)
def run(sources: Sources) -> Tables:
    """`by_currency`, `by_day` and `by_rule`.

    Of the frauds, `saved` was blocked, `in_review` waits for people, `lost` was not noticed; `honest_blocked` is no fraud. A
    rule's share `right` is that of the frauds among the payments that it flagged (blocked or left for review).
    """
    day = F.to_date("event_time").alias("day")
    found = held(cases(sources).select("transaction_id", "currency", "amount", "fraud", "outcome", day))
    return {
        "by_currency": _figures(found, "currency"),
        "by_day": _figures(found, "currency", "day"),
        "by_rule": _by_rule(sources.decisions, found),
    }


def _figures(found: DataFrame, *keys: str) -> DataFrame:
    fraud, outcome = F.col("fraud"), F.col("outcome")
    sums = _both("frauds", fraud)
    sums += _both("saved", fraud & (outcome == BLOCK))
    sums += _both("in_review", fraud & (outcome == REVIEW))
    sums += _both("lost", fraud & (outcome == NOTHING))
    sums += _both("honest_blocked", ~fraud & (outcome == BLOCK))
    sums += _both("honest_reviewed", ~fraud & (outcome == REVIEW))
    saved = share(F.col("saved_amount"), F.col("frauds_amount")).alias("saved_share")
    return found.groupBy(*keys).agg(*sums).select("*", saved).orderBy(*keys)


def _both(name: str, which: Column) -> list[Column]:
    """How many, and their amount."""
    nothing = F.lit("0").cast("decimal(19,4)")
    amount = F.sum(F.when(which, F.col("amount")).otherwise(nothing)).cast(AMOUNT)
    return [F.count_if(which).alias(name), amount.alias(f"{name}_amount")]


def _by_rule(decisions: DataFrame, found: DataFrame) -> DataFrame:
    flagging = decisions.where((F.col("decided_by") == "rules") & F.col("outcome").isin(BLOCK, REVIEW))
    flagged = flagging.select("rule", "transaction_id").distinct().join(found, "transaction_id")
    sums = [*_both("flagged", F.lit(True)), *_both("frauds", F.col("fraud"))]
    right = share(F.col("frauds"), F.col("flagged")).alias("right")
    return flagged.groupBy("currency", "rule").agg(*sums).select("*", right).orderBy("currency", "rule")
