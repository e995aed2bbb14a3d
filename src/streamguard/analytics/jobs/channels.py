"""Which channels people use, which one each account prefers, and for what."""

from __future__ import annotations

from pyspark.sql import Window
from pyspark.sql import functions as F

from streamguard.analytics.catalogue import Sources, Tables, job
from streamguard.analytics.columns import average, payments, share, sums, text, total


@job(
    "channels",
    "Which channels people prefer",
    "How much goes through each channel, and how many accounts use it for most of their payments.",
    "account_id amount currency channel merchant_category",
)
def run(sources: Sources) -> Tables:
    """`by_channel`, with the accounts that prefer it, and `by_category`: channels by currency.

    An account prefers the channel with most of its payments, then with the greater amount, then the first by name.
    """
    paid = sources.transactions
    used = paid.groupBy("currency", text("channel"), "account_id").agg(payments(), total())
    order = Window.partitionBy("currency", "account_id").orderBy(F.desc("payments"), F.desc("amount"), "channel")
    ranked = used.select("*", F.row_number().over(order).alias("rank"))
    by_channel = ranked.groupBy("currency", "channel").agg(
        *sums(),
        F.count(F.lit(1)).alias("accounts"),
        F.count_if(F.col("rank") == 1).alias("preferred_by"),
    )
    together = Window.partitionBy("currency")
    shares = [
        share(F.col("payments"), F.sum("payments").over(together)).alias("payments_share"),
        share(F.col("amount"), F.sum("amount").over(together)).alias("amount_share"),
        share(F.col("preferred_by"), F.sum("preferred_by").over(together)).alias("preferred_share"),
    ]
    by_category = paid.groupBy("currency", text("channel"), text("merchant_category")).agg(payments(), total())
    return {
        "by_channel": by_channel.select("*", average(), *shares).orderBy("currency", F.desc("payments"), "channel"),
        "by_category": by_category.select("*", average()).orderBy("currency", "channel", "merchant_category"),
    }
