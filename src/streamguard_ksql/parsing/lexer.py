"""Cuts SQL text into tokens (docs/reference/sql/syntax/lexical-structure.md of the ksqlDB manual)."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal

from streamguard_ksql.ast import Location
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.types import BIGINT_MAX

NAME, TEXT = "NAME", "TEXT"
INTEGER, DECIMAL, DOUBLE = "INTEGER_VALUE", "DECIMAL_VALUE", "DOUBLE_VALUE"
WORD, SYMBOL, END = "WORD", "SYMBOL", "$END"

_TOKENS = re.compile(
    r"""
      (?P<SKIP>    \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<WORD>    [A-Za-z_][A-Za-z0-9_@]* )
    | (?P<TEXT>    '[^']*(?:''[^']*)*' )
    | (?P<QUOTED>  `[^`]*(?:``[^`]*)*` | "[^"]*(?:""[^"]*)*" )
    | (?P<OPEN>    '.* | `.* | ".* | /\*.* )
    | (?P<NUMBER>  (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_@]) )
    | (?P<SYMBOL>  -> | => | := | <> | != | <= | >= | \|\| | [()\[\],.;=<>+\-*/%:] )
    | (?P<DIGITS>  \d[A-Za-z0-9_@]* )
    | (?P<VARIABLE>\$\{[^}]*\} )
    | (?P<OTHER>   . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Lines:
    """Line and column of a character offset."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts: list[int] | None = None

    def locate(self, offset: int) -> Location:
        if self._starts is None:
            self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._starts, offset)
        return Location(line, offset - self._starts[line - 1] + 1)


@dataclass(eq=False)
class Token:
    """A part of the text: `value` is what it means (a name's case is settled, a text's quotes are gone).

    `type` is the grammar's terminal; words stay WORD, and symbols SYMBOL, until the driver gives them one.
    """

    __slots__ = ("end", "lines", "start", "type", "value")

    type: str
    value: str
    start: int
    end: int
    lines: Lines

    @property
    def text(self) -> str:
        """As it was typed."""
        return self.lines.text[self.start : self.end]

    @property
    def location(self) -> Location:
        return self.lines.locate(self.start)


def tokenize(text: str) -> list[Token]:
    """All tokens but blanks and comments; SqlSyntaxError where the text can be no token at all."""
    lines = Lines(text)
    tokens: list[Token] = []
    for match in _TOKENS.finditer(text):
        kind = match.lastgroup
        if kind == "SKIP":
            continue
        piece, start, end = match.group(), match.start(), match.end()
        if kind == "WORD":
            tokens.append(Token(WORD, piece.upper(), start, end, lines))
        elif kind == "DIGITS":
            tokens.append(Token(NAME, piece.upper(), start, end, lines))
        elif kind == "SYMBOL":
            tokens.append(Token(SYMBOL, "<>" if piece == "!=" else piece, start, end, lines))
        elif kind == "TEXT":
            tokens.append(Token(TEXT, piece[1:-1].replace("''", "'"), start, end, lines))
        elif kind == "QUOTED":
            quote = piece[0]
            tokens.append(Token(NAME, piece[1:-1].replace(quote * 2, quote), start, end, lines))
        elif kind == "NUMBER":
            token = Token(_number_type(piece), piece, start, end, lines)
            _check_range(token, tokens)
            tokens.append(token)
        else:
            if kind == "VARIABLE":
                raise _undefined(piece, tokens, lines.locate(start))
            raise _unreadable(kind, piece, lines.locate(start))
    return tokens


def _number_type(piece: str) -> str:
    if "e" in piece or "E" in piece:
        return DOUBLE
    return DECIMAL if "." in piece else INTEGER


def _check_range(token: Token, before: list[Token]) -> None:
    """Refuse a number beyond BIGINT or DOUBLE; a sign before it counts as its own. ksqlDB counts its columns from 2."""
    sign = "-" if _is_negative(before) else ""
    at = token.location
    place = f"Failed to prepare statement: line {at.line}:{at.column + 1}: "
    if token.type == INTEGER:
        if int(token.value) > BIGINT_MAX + len(sign):
            raise SqlSyntaxError(f"{place}Invalid numeric literal: {sign}{token.value}")
    elif token.type == DOUBLE and float(token.value) == float("inf") and Decimal(token.value).is_finite():
        raise SqlSyntaxError(f"{place}Number overflows DOUBLE: {sign}{token.value}")


def _is_negative(before: list[Token]) -> bool:
    """Whether the tokens end in a minus that is a sign, not a subtraction."""
    if not before or before[-1].value != "-" or before[-1].type != SYMBOL:
        return False
    if len(before) == 1:
        return True
    left = before[-2]
    if left.type == SYMBOL:
        return left.value not in (")", "]")
    return left.type == WORD and left.value in _BEFORE_SIGN


_BEFORE = "SELECT WHERE HAVING AND OR NOT BETWEEN LIKE ON BY WHEN THEN ELSE CASE IN IS FROM"
_BEFORE = "SELECT WHERE HAVING AND OR NOT BETWEEN LIKE ON BY WHEN THEN ELSE CASE IN IS FROM"
_BEFORE_SIGN = frozenset(_BEFORE.split())


_BEFORE_SOURCE = frozenset({"FROM", "JOIN", "INTO", "STREAM", "TABLE"})


def _undefined(variable: str, before: list[Token], at: Location) -> SqlSyntaxError:
    """A variable that nobody defined: a wrong name of a source, or no expression."""
    if before and before[-1].value in _BEFORE_SOURCE:
        return SqlSyntaxError(
            f"Illegal argument at Line: {at.line}, Col: {at.column}. Source names may only contain alphanumeric values, "
            f"'_' or '-'. Got: '{variable.upper()}'"
        )
    return SqlSyntaxError("Failed to prepare statement: not yet implemented")


def _unreadable(kind: str | None, piece: str, at: Location) -> SqlSyntaxError:
    start = f"line {at.line}:{at.column}: Syntax Error\n"
    if kind == "OPEN":
        what = {"'": "text", "`": "name", '"': "name", "/": "comment"}[piece[0]]
        return SqlSyntaxError(f"{start}The {what} that starts with {piece[:20]} has no end")
    return SqlSyntaxError(f"{start}Syntax error at or near '{piece}' at line {at.line}:{at.column}")
