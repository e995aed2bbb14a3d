"""What the commands share: Typer apps of one style, and a connection to the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy import Connection

from streamguard.config import get_settings
from streamguard.database import make_engine


def new_app(help_text: str) -> typer.Typer:
    """A Typer app in the house's style."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
    )


@contextmanager
def database(*, autocommit: bool = False) -> Iterator[Connection]:
    """One transaction on the database, or with `autocommit` a connection on which each statement sees what is new."""
    engine = make_engine(get_settings())
    if autocommit:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
