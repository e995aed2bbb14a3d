"""How a refusal reads: by the stage at which ksqlDB refuses, and by what it says of the place.

A statement goes through these stages there, each with words of its own in front of the reason: it is prepared (its text
becomes a tree), its names are looked up, its query is planned; a value is inserted. While it is planned, expressions are
given types first, which refuses with the bare reason, then code, which refuses with the expression and the schema.

Source: refusals as recorded from ksqlDB 0.29.
"""

from __future__ import annotations

from contextvars import ContextVar

from streamguard_ksql.errors import KsqlError

accepted_before: ContextVar[bool] = ContextVar("accepted_before", default=False)
"""Whether statements are repeated that an earlier version accepted: what only this one refuses is then let through."""

PREPARING = "Failed to prepare statement: "
LOOKING_UP = "Exception while preparing statement: "
PLANNING = "Could not determine output schema for query due to error: "


class PlainError(KsqlError):
    """A refusal without the words of planning, though it is found then."""


class CodeError(KsqlError):
    """A refusal that ksqlDB makes when it generates an expression's code: `select` and `predicate` add the place."""


def preparing(reason: str) -> KsqlError:
    return KsqlError(f"{PREPARING}{reason}")


def looking_up(reason: str) -> PlainError:
    return PlainError(f"{LOOKING_UP}{reason}")


def planning(error: KsqlError) -> None:
    """Put the words of planning before the reason, in place."""
    if not isinstance(error, PlainError) and not error.message.startswith(PLANNING):
        error.message = f"{PLANNING}{error.message}"
        error.args = (error.message,)


def inserting(target: str, reason: str) -> KsqlError:
    return KsqlError(f"Failed to insert values into '{target}'. {reason}")


def select(error: CodeError, shown: str, schema: str) -> KsqlError:
    """Of an item of the SELECT list."""
    return KsqlError(f"Invalid Select: {error.message}. expression: {shown}, schema:{schema}\nStatement: {shown}")


def predicate(error: CodeError, shown: str, schema: str) -> PlainError:
    """Of a WHERE or HAVING."""
    return PlainError(f"Invalid Predicate: {error.message}. expression: {shown}, schema:{schema}\nStatement: {shown}")


def arithmetic(shown: str, types: str) -> KsqlError:
    reason = f"Error processing expression: {shown}. Unsupported arithmetic types. {types}"
    return KsqlError(f"{reason}\nStatement: {shown}")
