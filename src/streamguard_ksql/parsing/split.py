"""Cuts a script into statements at the semicolons."""

from __future__ import annotations

import re

from streamguard_ksql.ast import Location
from streamguard_ksql.parsing.lexer import SYMBOL, Lines, Token

_PIECES = re.compile(
    r"""
      (?P<BLANK> \s+ | --[^\n]* | /\*(?:.*?\*/|.*) )
    | (?P<SEMICOLON> ; )
    | '[^']*'? | `[^`]*`? | "[^"]*"? | -(?!-) | /(?!\*) | [^\s;'`"/-]+
    """,
    re.VERBOSE | re.DOTALL,
)


def statements_of(tokens: list[Token]) -> list[list[Token]]:
    """The tokens of each statement, its semicolon last; the last statement may lack it. Lone semicolons are dropped."""
    result: list[list[Token]] = []
    current: list[Token] = []
    for token in tokens:
        current.append(token)
        if token.type == SYMBOL and token.value == ";":
            if len(current) > 1:
                result.append(current)
            current = []
    if current:
        result.append(current)
    return result


def split_statements(text: str) -> list[tuple[str, Location]]:
    """Each statement's text, semicolon included, and where it starts; nothing is parsed, nothing refused.

    A semicolon in quotes, backticks or a comment cuts nothing. What follows the last semicolon, if more than blanks and
    comments, is the last part: a shell sees by its missing semicolon that the statement goes on.
    """
    lines = Lines(text)
    result: list[tuple[str, Location]] = []
    start: int | None = None
    end = 0
    for match in _PIECES.finditer(text):
        if match.lastgroup == "BLANK":
            continue
        if match.lastgroup == "SEMICOLON":
            if start is not None:
                result.append((text[start : match.end()], lines.locate(start)))
            start = None
            continue
        start, end = match.start() if start is None else start, match.end()
    if start is not None:
        result.append((text[start:end], lines.locate(start)))
    return result
