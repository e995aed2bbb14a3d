"""The time of a record: its own, or that of the column that the source declares as TIMESTAMP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.catalog import DataSource
from streamguard_ksql.codegen import Environment
from streamguard_ksql.datetime_patterns import timestamp_parser
from streamguard_ksql.errors import ROW_ERRORS, EvaluationError, reason


class TimeError(EvaluationError):
    """A text in the timestamp column that is no time."""


def time_extractor(source: DataSource) -> Callable[[Any, Any], Any] | None:
    """The function that finds a record's time in its key and value (None where it has none); None if that is the
    record's own time."""
    env = Environment()
    text = time_text(source, env)
    return None if text is None else env.function("timestamp", "k, v", text)


def time_text(source: DataSource, env: Environment) -> str | None:
    """The same as code over a record's key k and values v."""
    wanted = source.timestamp
    if wanted is None:
        return None
    column = source.schema.find(wanted.name)
    assert column is not None
    in_key = column in source.schema.key
    index = (source.schema.key if in_key else source.schema.stored).index(column)
    text = f"(None if k is None else k[{index}])" if in_key else f"v[{index}]"
    if wanted.format is None:
        return text
    parse = timestamp_parser(wanted.format)

    def parsed(value: str) -> int:
        try:
            return parse(value)
        except ROW_ERRORS as error:
            raise TimeError(reason(error)) from error

    return f"None if (x := {text}) is None else {env.call(parsed, 'x')}"
