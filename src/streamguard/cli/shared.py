"""What the commands share: Typer apps of one style, and a connection to the database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

import typer
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from streamguard.config import UserError, get_settings
from streamguard.config.visible import one_line
from streamguard.database import error_message, is_outage, make_engine, sqlstate
from streamguard.database.locks import Lock
from streamguard.rules.catalogue import ALL, CORE

_UNDEFINED_TABLE, _LOCK_NOT_AVAILABLE = "42P01", "55P03"

_LOCK_WITHIN = "5s"
"""Postgres notices within a moment that the process which held the lock was killed."""


class RuleSet(str, Enum):
    """Which SQL rules: the whole catalogue, or the two of queries.sql."""

    all = ALL
    core = CORE


class DatabaseUnavailable(UserError):
    """The database does not answer, or has no tables yet."""


class OtherDeployment(UserError):
    """Somebody else deploys SQL at this moment."""


class NoTables(DatabaseUnavailable):
    """The database has no tables yet."""


def new_app(help_text: str) -> typer.Typer:
    """A Typer app with the options that all of ours have."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
    )


def print_line(text: object = "", *, err: bool = False) -> None:
    """One line on stdout, or on stderr: also where the records that it quotes have line breaks or control characters."""
    print(one_line(text), file=sys.stderr if err else sys.stdout, flush=True)


def print_lines(lines: Iterable[object]) -> None:
    """Several of them on stdout."""
    for line in lines:
        print_line(line)


@contextmanager
def database(*, autocommit: bool = False) -> Iterator[Connection]:
    """One transaction on the database, or with `autocommit` a connection on which each statement sees what is new.

    Raises DatabaseUnavailable where the database cannot be used, inside the block too.
    """
    engine = make_engine(get_settings())
    if autocommit:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if sqlstate(error) == _UNDEFINED_TABLE:
            raise NoTables("the database (DATABASE_URL) has no tables yet: `streamguard up` makes them") from None
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(f"the database (DATABASE_URL): {error_message(error)}") from None
    finally:
        engine.dispose()


@contextmanager
def deployment() -> Iterator[None]:
    """Within it nobody else deploys SQL; raises OtherDeployment where somebody does, and as `database` does."""
    with database(autocommit=True) as connection:
        connection.execute(text("SELECT set_config('lock_timeout', :within, FALSE)"), {"within": _LOCK_WITHIN})
        try:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": Lock.DEPLOYMENT})
        except DBAPIError as error:
            if sqlstate(error) != _LOCK_NOT_AVAILABLE:
                raise
            raise OtherDeployment(
                "another deployment is going on: wait until it has ended, then repeat the command"
            ) from None
        yield
