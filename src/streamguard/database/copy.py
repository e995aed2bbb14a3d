"""COPY from text, and what psycopg2 prints when the connection ends in the middle of it."""

from __future__ import annotations

import io
import sys
from types import TracebackType
from typing import Any

import psycopg2

from streamguard.database.engine import error_message


def copy_text(cursor: Any, statement: str, text: str) -> None:
    """Run `COPY ... FROM STDIN` with `text`. Raises psycopg2.Error.

    Where the server ends the connection meanwhile, psycopg2 2.9 prints its own failure to report that (a SystemError), with
    the row that was being read, to stderr, and raises `invalid socket`. Here nothing is printed, and what the server said
    is raised.
    """
    told: list[str] = []
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if kind is SystemError and isinstance(error.__cause__, psycopg2.Error):
            told.append(error_message(error.__cause__))
        else:
            before(kind, error, trace)

    sys.excepthook = hook
    try:
        cursor.copy_expert(statement, io.StringIO(text))
    except psycopg2.OperationalError:
        if not told:
            raise
        raise psycopg2.OperationalError(told[0]) from None
    finally:
        sys.excepthook = before
