"""One field of a mapping, bound to the columns of a file: from a row to a value.

1. `bound` finds the columns of an expression and the first of its alternatives that a row has.
2. `times`, `amounts` and `texts` read what stands there; `Options` is what a person says of all columns.

Sources of the forms: docs/own-data.md, "How values are written".
"""

from streamguard.ingest.columns.amounts import amount_column
from streamguard.ingest.columns.bound import Bound, Options, missing_columns
from streamguard.ingest.columns.texts import fixed, plain_column
from streamguard.ingest.columns.times import time_column

__all__ = ["Bound", "Options", "amount_column", "fixed", "missing_columns", "plain_column", "time_column"]
