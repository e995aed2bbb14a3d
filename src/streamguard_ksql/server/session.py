"""What a request carries from statement to statement: properties (SET) and variables (DEFINE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statements, split_statements
from streamguard_ksql.server.properties import check_all
from streamguard_ksql.statements.registry import changes_session
from streamguard_ksql.variables import substitute

SUBSTITUTION = "ksql.variable.substitution.enable"


@dataclass(frozen=True)
class Prepared:
    """A statement with the properties and variables that apply to it."""

    statement: ast.Statement
    properties: Mapping[str, Any]
    variables: Mapping[str, str]


@dataclass
class Session:
    """The state of one request; SET and DEFINE apply from their place to the end of the request."""

    properties: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    substitutes: bool = True

    def prepare(self, text: str) -> list[Prepared]:
        """All statements of a text but those that change the session; KsqlError for the first that is wrong.

        Variables are put into each statement before it is parsed; lines and columns in messages count in `text`.
        """
        check_all(self.properties)
        prepared = []
        for piece, location in split_statements(text):
            replaced = substitute(piece, self.variables) if self.substitutes else piece
            for statement in _parse(replaced, location):
                if not self._try_change(statement):
                    prepared.append(Prepared(statement, dict(self.properties), dict(self.variables)))
        return prepared

    def _try_change(self, statement: ast.Statement) -> bool:
        change = changes_session.find(type(statement))
        if change is None:
            return False
        try:
            change(statement, self)
        except KsqlError as error:
            error.statement = error.statement or statement.text
            raise
        return True


def _parse(text: str, location: ast.Location) -> list[ast.Statement]:
    """Parse a statement with the lines and columns of the whole text; a variable's value may make it several."""
    padding = "\n" * (location.line - 1) + " " * (location.column - 1)
    try:
        return parse_statements(padding + text)
    except KsqlError as error:
        error.statement = (error.statement or text).strip()
        raise
