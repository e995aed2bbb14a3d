"""What the engine refuses, and how it says so.

The codes are ksqlDB's (docs/developer-guide/ksqldb-rest-api/ksql-endpoint.md and the recordings of its server):
40000 bad request, 40001 bad statement, 40002 wrong endpoint, 40300 forbidden, 40400 not found, 50000 server error.
"""

from __future__ import annotations


class KsqlError(Exception):
    """A statement that cannot be run; the message is worded as in ksqlDB."""

    code = 40001

    def __init__(self, message: str, *, statement: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.statement = statement


class SqlSyntaxError(KsqlError):
    """Text that is no statement; the message carries line and column."""


class BadRequest(KsqlError):
    """A request that is wrong beyond its SQL: a missing topic, a bad property."""

    code = 40000


class WrongEndpoint(KsqlError):
    """A statement that another endpoint serves."""

    code = 40002


class LimitExceeded(KsqlError):
    """A query that takes more time or memory than it may (see `limits`): it ends, and the message says why."""


class EvaluationError(Exception):
    """A row whose expression has no value: the row's column becomes NULL and the processing log gets the reason."""


ROW_ERRORS = (EvaluationError, ArithmeticError, RecursionError)
"""What may go wrong with the values of one row: no value, a number out of range, nesting too deep for the stack.

Anything else is a fault of the engine and ends the query with its reason: it is never a NULL or a row left out.
"""


class FatalRecordError(Exception):
    """A record after which a query cannot go on, as ksqlDB's cannot: it ends, with this as its reason in SHOW QUERIES."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SerializationError(Exception):
    """A record that a format cannot read or write."""


def reason(error: BaseException) -> str:
    """What an error says; its class where it says nothing."""
    return str(error) or type(error).__name__
