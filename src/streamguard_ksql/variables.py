"""Variables: `${name}` in SQL text (docs/how-to-guides/substitute-variables.md and ksqldb-reference/define.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.parsing.lexer import Lines

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with each `${name}` replaced by the variable's value, as it was defined; values are not searched again.

    Names are case-insensitive. It happens everywhere, also between quotes: `'${topic}'`. `$${name}` gives `${name}`.
    A variable that is not defined stays as it is: outside of quotes the parser then names it. One that stands for an
    expression has to be a literal: SqlSyntaxError, with its place, for anything else.
    """
    values = {name.upper(): value for name, value in variables.items()}
    if values:
        _check_literals(text, values)

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        return values.get(match[2].upper(), match[0])

    return _REFERENCE.sub(value, text)


_PARTS = re.compile(
    r"(?P<QUOTED>--[^\n]*|/\*.*?\*/|'[^']*'|`[^`]*`|\"[^\"]*\")|(?P<REFERENCE>\$?\$\{\w+\})|(?P<WORD>\w+)|(?P<SIGN>\S)",
    re.DOTALL,
)
_LITERAL = re.compile(r"\s*(?:[+-]?[\d.]+(?:[eE][+-]?\d+)?|true|false|null|'(?:[^']|'')*')\s*", re.IGNORECASE)
_BEFORE = frozenset("SELECT WHERE HAVING AND OR NOT BY WHEN THEN ELSE BETWEEN LIKE = < > + - * / %".split())
"""What an expression follows; a comma or a parenthesis is one where a clause of expressions began last."""
_CLAUSES = frozenset("SELECT FROM WHERE GROUP PARTITION HAVING VALUES INTO STREAM TABLE WITH JOIN ON".split())
_OF_EXPRESSIONS = frozenset("SELECT WHERE GROUP PARTITION HAVING VALUES ON".split())


def _check_literals(text: str, values: Mapping[str, str]) -> None:
    before = clause = ""
    for part in _PARTS.finditer(text):
        found = part.group().upper()
        if part.lastgroup == "REFERENCE" and not found.startswith("$$"):
            value = values.get(found[2:-1])
            wanted = before in _BEFORE or (before in (",", "(") and clause in _OF_EXPRESSIONS)
            if value is not None and wanted and not _LITERAL.fullmatch(value):
                at = Lines(text).locate(part.start())
                raise SqlSyntaxError(f"Illegal argument at Line: {at.line}, Col: {at.column}. Got: '{value}'")
        if part.lastgroup == "WORD" and found in _CLAUSES:
            clause = found
        before = found
