"""The ways of saying the rows of a query: one writer each, giving text for the start, for rows, and for the end.

- v1 (`/query`): a JSON array over many lines; `header`, then `row` objects, then `finalMessage` (push queries only).
- delimited (`/query-stream`, HTTP/2): a header object on a line, then an array per row on a line.
- JSON (`/query-stream` with Accept: application/json): the same in one JSON array without line breaks.

Tombstones of tables are left out in all three, as ksqlDB does under these media types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from streamguard_ksql.schema import Column, quoted_type
from streamguard_ksql.server.errors import SERVER_ERROR, RestError
from streamguard_ksql.server.rows import row_text

DELIMITED = "application/vnd.ksqlapi.delimited.v1"
V1_JSON = "application/vnd.ksql.v1+json"
JSON = "application/json"
Rows = Sequence[Sequence[Any] | None]


@dataclass(frozen=True)
class Result:
    """What an answer begins with. A push query's rows arrive one by one; a pull query's are there at once."""

    query_id: str
    columns: Sequence[Column]
    key_columns: Sequence[str]
    is_push: bool


class Writer(ABC):
    """Base of the writers; each is for one answer."""

    content_type: ClassVar[str]

    def __init__(self, result: Result) -> None:
        self.result = result
        self.row = row_text(result.columns)

    @abstractmethod
    def head(self) -> str:
        """What comes before the rows."""

    @abstractmethod
    def rows(self, rows: Rows) -> str:
        """Some rows."""

    @abstractmethod
    def end(self, message: str | None) -> str:
        """What follows the last row; `message` says why it was the last."""

    @abstractmethod
    def failed(self, reason: str) -> str:
        """What follows the last row of a query that broke."""


class V1Writer(Writer):
    """A push query's lines end in a comma, so that a client has each row as soon as it has the line."""

    content_type = V1_JSON

    def head(self) -> str:
        keys = () if self.result.is_push else self.result.key_columns
        columns = [f"`{c.name}` {quoted_type(c.type)}{' KEY' if c.name in keys else ''}" for c in self.result.columns]
        header = _dumps({"header": {"queryId": self.result.query_id, "schema": ", ".join(columns)}})
        return f"[{header}" + (",\n" if self.result.is_push else "")

    def rows(self, rows: Rows) -> str:
        texts = [f'{{"row":{{"columns":{self.row(row)}}}}}' for row in rows if row is not None]
        if self.result.is_push:
            return "".join(f"{text},\n" for text in texts)
        return "".join(f",\n{text}" for text in texts)

    def end(self, message: str | None) -> str:
        if not self.result.is_push:
            return "]"
        return _dumps({"finalMessage": message or "Query terminated"}) + "]"

    def failed(self, reason: str) -> str:
        return ("" if self.result.is_push else ",\n") + _dumps({"errorMessage": _error(reason)}) + "]"


class DelimitedWriter(Writer):
    content_type = DELIMITED

    def head(self) -> str:
        return _header(self.result) + "\n"

    def rows(self, rows: Rows) -> str:
        return "".join(f"{self.row(row)}\n" for row in rows if row is not None)

    def end(self, message: str | None) -> str:
        return ""

    def failed(self, reason: str) -> str:
        return _dumps(_error(reason)) + "\n"


class JsonWriter(Writer):
    content_type = JSON

    def head(self) -> str:
        return "[" + _header(self.result)

    def rows(self, rows: Rows) -> str:
        return "".join(f",{self.row(row)}" for row in rows if row is not None)

    def end(self, message: str | None) -> str:
        return "]"

    def failed(self, reason: str) -> str:
        return "," + _dumps(_error(reason)) + "]"


def _header(result: Result) -> str:
    return _dumps(
        {
            "queryId": result.query_id,
            "columnNames": [c.name for c in result.columns],
            "columnTypes": [quoted_type(c.type) for c in result.columns],
        }
    )


def _error(reason: str) -> dict[str, Any]:
    return RestError(reason, code=SERVER_ERROR).body


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def choose(path: str, accept: str, http_version: str) -> type[Writer]:
    """The writer for a request: what it accepts, else the format of its endpoint."""
    accepted = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    if DELIMITED in accepted:
        return DelimitedWriter
    if V1_JSON in accepted:
        return V1Writer
    if JSON in accepted:
        return V1Writer if path == "/query" else JsonWriter
    return V1Writer if path == "/query" and http_version != "2" else DelimitedWriter
