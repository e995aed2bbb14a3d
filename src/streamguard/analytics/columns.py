"""Columns that several jobs share: exact amounts, what a payment earns, shares."""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamguard.analytics.rates import Rates

AMOUNT, EARNED = "decimal(38,4)", "decimal(38,10)"
"""A sum of amounts; a sum of what payments earn, exact, for a rate has at most six places."""
_MOST_HELD_BYTES = 64 << 20
"""A message of Spark Connect has 128 MiB at most."""
STRUCTURES = ("flat", "progressive", "tiered", "by_category")


def payments() -> Column:
    """How many."""
    return F.count(F.lit(1)).alias("payments")


def total() -> Column:
    """The sum of the amounts."""
    return F.sum("amount").cast(AMOUNT).alias("amount")


def text(name: str) -> Column:
    """A column that may be empty, as people read it."""
    return F.coalesce(F.col(name), F.lit("unknown")).alias(name)


def earns(rates: Rates) -> Column:
    """Whether a payment earns commission, by its type."""
    kind = F.lower(F.coalesce(F.col("transaction_type"), F.lit("")))
    return ~kind.isin(sorted(rates.free_types)) if rates.free_types else F.lit(True)


def commission(structure: str, rates: Rates) -> Column:
    """What a payment earns under a structure, exact; 0 for types that earn nothing."""
    earned = {"flat": _flat, "progressive": _progressive, "tiered": _tiered, "by_category": _by_category}[structure](
        rates
    )
    return F.when(earns(rates), earned).otherwise(_decimal(Decimal(0))).cast("decimal(29,10)")


def earned_flat(rates: Rates) -> Column:
    """The sum of what payments earn at the flat rate: what jobs other than `commission` count as income."""
    return F.sum(commission("flat", rates)).cast(EARNED).alias("commission")


def share(part: Column, whole: Column) -> Column:
    """A quotient as double; null where there is nothing to divide by."""
    return F.when(whole != 0, part.cast("double") / whole.cast("double"))


def average() -> Column:
    """The amount of a payment on the average, rounded half up to four places.

    The type keeps 14 places or more of the quotient in every engine, where Spark keeps 6 of a sum's own: rounded once more it is
    right.
    """
    quotient = F.col("amount").cast("decimal(33,10)") / F.col("payments")
    return F.round(quotient, 4).cast("decimal(19,4)").alias("average")


def held(small: DataFrame) -> DataFrame:
    """The same rows, computed once and held by the client: for aggregates that several tables are made of.

    What is larger than a plan may be is computed again wherever it is used, and so is nothing at all, of which PySpark makes
    no DataFrame.
    """
    table = small.toArrow()
    fits = table.num_rows > 0 and table.nbytes <= _MOST_HELD_BYTES
    return small.sparkSession.createDataFrame(table) if fits else small


def sums() -> tuple[Column, Column]:
    """Payments and amount of rows that are sums already."""
    return F.sum("payments").alias("payments"), F.sum("amount").cast(AMOUNT).alias("amount")


def _decimal(value: Decimal) -> Column:
    """A literal of fixed type, whatever the number of its digits."""
    return F.lit(str(value)).cast("decimal(19,4)")


def _rate(value: Decimal) -> Column:
    return F.lit(str(value)).cast("decimal(7,6)")


def _of(amount: Column, rate: Column) -> Column:
    return (amount.cast("decimal(19,4)") * rate).cast("decimal(29,10)")


def _flat(rates: Rates) -> Column:
    return _of(F.col("amount"), _rate(rates.flat))


def _progressive(rates: Rates) -> Column:
    """The part of the amount within each band at the rate of its band, as an income tax."""
    amount, nothing = F.col("amount"), _decimal(Decimal(0))
    first, second = (_decimal(band) for band in rates.bands)
    parts = (
        F.least(amount, first),
        F.greatest(F.least(amount, second) - first, nothing),
        F.greatest(amount - second, nothing),
    )
    low, middle, high = (_of(part, _rate(rate)) for part, rate in zip(parts, rates.band_rates, strict=True))
    return low + middle + high


def _tiered(rates: Rates) -> Column:
    """The whole amount at one rate, the highest for small payments."""
    amount = F.col("amount")
    first, second = (_decimal(band) for band in rates.bands)
    low, middle, high = (_rate(rate) for rate in rates.band_rates)
    return _of(amount, F.when(amount < first, high).when(amount < second, middle).otherwise(low))


def _by_category(rates: Rates) -> Column:
    rate = _rate(rates.flat)
    category = F.col("merchant_category")
    for name, value in sorted(rates.categories.items()):
        rate = F.when(category == name, _rate(value)).otherwise(rate)
    return _of(F.col("amount"), rate)
