"""Refusals as ksqlDB's server words them: an HTTP status, an error code, a message; never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from streamguard_ksql.errors import KsqlError

log = logging.getLogger("streamguard_ksql.server")

Entity = dict[str, Any]

BAD_REQUEST = 40000
BAD_STATEMENT = 40001
NOT_HTTP2 = 40004
UNAUTHORIZED = 40100
FORBIDDEN = 40300
NOT_FOUND = 40400
METHOD_NOT_ALLOWED = 40500
TOO_LARGE = 41300
UNSUPPORTED_TYPE = 41500
ASSERTION_FAILED = 41700
TOO_MANY_QUERIES = 42900
SERVER_ERROR = 50000
TERMINATED = 50300
COMMANDS_BEHIND = 50301


class RestError(Exception):
    """A refusal on its way to the client. With a `statement` it is a statement_error, else a generic_error."""

    def __init__(
        self,
        message: str,
        *,
        code: int = BAD_REQUEST,
        statement: str | None = None,
        entities: Sequence[Entity] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.statement = statement
        self.entities = list(entities)

    @property
    def status(self) -> int:
        """The HTTP status: the error code's first three digits."""
        return self.code // 100

    @property
    def body(self) -> Entity:
        body: Entity = {"@type": "generic_error", "error_code": self.code, "message": self.message}
        if self.statement is not None:
            body |= {"@type": "statement_error", "statementText": self.statement, "entities": self.entities}
        return body


def refusal(error: KsqlError, text: str, entities: Sequence[Entity] = ()) -> RestError:
    """What a refused statement is answered with. `text` is its SQL where the error has none."""
    if error.code == BAD_REQUEST:
        return RestError(error.message, code=error.code)
    return RestError(error.message, code=error.code, statement=error.statement or text, entities=entities)


def fault(error: Exception, doing: str) -> RestError:
    """An error that is ours, not the user's: one line in the log, one message for the client."""
    where = _place(error)
    log.error("fault while %s: %s: %s%s", doing, type(error).__name__, " ".join(str(error).split()), where)
    reason = " ".join(str(error).split()) or type(error).__name__
    return RestError(f"The server failed while {doing}: {reason}", code=SERVER_ERROR)


def _place(error: Exception) -> str:
    """The innermost place of the error, for the log."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
