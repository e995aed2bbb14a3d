"""How people write the times, amounts, currencies and labels of payments, and what each text means.

Each reader takes a text (or a number of JSON or Parquet) and returns one value, or raises ValueError with a reason that a
person reads. None of them guesses: what a column means is decided once, from many of its values (`guess_time`,
`guess_decimal`), said, and then holds for every row.
"""

from streamguard.models.readings.amounts import AmountForm, amount_reader, guess_decimal, is_negative
from streamguard.models.readings.currencies import currency_in_name, read_currency
from streamguard.models.readings.labels import read_label
from streamguard.models.readings.times import TimeForm, guess_time, parse_time, time_reader

__all__ = [
    "AmountForm",
    "TimeForm",
    "amount_reader",
    "currency_in_name",
    "guess_decimal",
    "guess_time",
    "is_negative",
    "parse_time",
    "read_currency",
    "read_label",
    "time_reader",
]
