"""SQL text to syntax tree: the engine's entry for text. `streamguard_ksql.parsing` describes how it works.

All functions raise SqlSyntaxError, worded as ksqlDB words it, with line and column counted from 1 in the text they got;
`error.statement` is the text of the statement that is wrong.
"""

from __future__ import annotations

from typing import Any

from streamguard_ksql.ast import ColumnDef, Explain, Expression, Location, Statement
from streamguard_ksql.errors import KsqlError, SqlSyntaxError
from streamguard_ksql.parsing import driver
from streamguard_ksql.parsing.build_clauses import with_text
from streamguard_ksql.parsing.lexer import END, SYMBOL, Lines, Token, tokenize
from streamguard_ksql.parsing.split import split_statements as split_statements
from streamguard_ksql.parsing.split import statements_of
from streamguard_ksql.types import SqlType


def parse_statements(text: str) -> list[Statement]:
    """All statements of a script, in order. Each must end in a semicolon, as in ksqlDB."""
    return [_statement(tokens) for tokens in statements_of(_tokens(text))]


def parse_statement(text: str) -> Statement:
    """The one statement of a text; its semicolon may be missing. SqlSyntaxError also where there are more, or none."""
    tokens = _tokens(text)
    if tokens and not _is_semicolon(tokens[-1]):
        end = len(text.rstrip())
        tokens.append(Token(SYMBOL, ";", end, end, tokens[-1].lines))
    statements = statements_of(tokens)
    if len(statements) != 1:
        raise SqlSyntaxError(f"Expected exactly one KSQL statement; found {len(statements)} instead.", statement=text)
    return _statement(statements[0])


def parse_expression(text: str) -> Expression:
    """An expression alone, e.g. `amount > 3000`."""
    return _fragment(text, driver.EXPRESSION)  # type: ignore[no-any-return]


def parse_type(text: str) -> SqlType:
    """A type, e.g. `STRUCT<F INT, G ARRAY<STRING>>`; an unknown name is a types.Named."""
    return _fragment(text, driver.TYPE)  # type: ignore[no-any-return]


def parse_schema(text: str) -> tuple[ColumnDef, ...]:
    """Columns as in CREATE, without the parentheses: ``A INT KEY, B STRING, `c` ARRAY<INT>``."""
    return _fragment(text, driver.SCHEMA)  # type: ignore[no-any-return]


def _tokens(text: str) -> list[Token]:
    try:
        return tokenize(text)
    except SqlSyntaxError as error:
        error.statement = next((piece for piece, _ in split_statements(text) if not _is_readable(piece)), text)
        raise


def _is_readable(text: str) -> bool:
    try:
        tokenize(text)
    except SqlSyntaxError:
        return False
    return True


def _is_semicolon(token: Token) -> bool:
    return token.type == SYMBOL and token.value == ";"


def _end_after(tokens: list[Token], lines: Lines) -> Token:
    end = tokens[-1].end if tokens else 0
    return Token(END, "", end, end, lines)


def _statement(tokens: list[Token]) -> Statement:
    lines = tokens[0].lines
    text = lines.text[tokens[0].start : tokens[-1].end]
    try:
        statement: Statement = driver.parse([*tokens, _end_after(tokens, lines)], driver.STATEMENT)
    except KsqlError as error:
        error.statement = text
        raise
    if isinstance(statement, Explain) and statement.statement is not None:
        inner = with_text(statement.statement, lines.text[tokens[1].start : tokens[-1].end], tokens[1].location)
        statement = Explain(statement=inner)
    return with_text(statement, text, tokens[0].location)


def _fragment(text: str, start: str) -> Any:
    tokens = _tokens(text)
    lines = tokens[0].lines if tokens else Lines(text)
    try:
        return driver.parse([*tokens, _end_after(tokens, lines)], start)
    except KsqlError as error:
        error.statement = text
        raise


__all__ = [
    "Location",
    "parse_expression",
    "parse_schema",
    "parse_statement",
    "parse_statements",
    "parse_type",
    "split_statements",
]
