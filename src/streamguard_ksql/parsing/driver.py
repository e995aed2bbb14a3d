"""Drives lark's LALR tables with our own tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedToken

from streamguard_ksql.parsing import keywords
from streamguard_ksql.parsing.build_clauses import TreeBuilder
from streamguard_ksql.parsing.lexer import SYMBOL, WORD, Token
from streamguard_ksql.parsing.messages import explain
from streamguard_ksql.parsing.size import check_size

GRAMMAR = Path(__file__).parent.parent / "grammar.lark"
STATEMENT, EXPRESSION, TYPE, SCHEMA = "one_statement", "one_expression", "one_type", "one_schema"


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The parse tables, made once per process (about a tenth of a second)."""
    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=[STATEMENT, EXPRESSION, TYPE, SCHEMA],
        transformer=TreeBuilder(),
    )


@lru_cache(maxsize=1)
def symbols() -> dict[str, str]:
    """Symbol to the grammar's name of it, e.g. '(' to LPAR."""
    patterns = {str(terminal.pattern.value): terminal.name for terminal in grammar().terminals}
    return {text: name for text, name in patterns.items() if not text[0].isalpha()}


def parse(tokens: Sequence[Token], start: str) -> Any:
    """The node that the tokens make; the last token must be an END. SqlSyntaxError where they make none."""
    parser: Any = grammar().parse_interactive(None, start)
    names = symbols()
    fed = 0
    try:
        for i, token in enumerate(tokens):
            if token.type == WORD:
                token.type = keywords.meaning(tokens, i, parser.choices())
            elif token.type == SYMBOL:
                token.type = _symbol(tokens, i, names, parser.choices())
            result = parser.feed_token(token)
            fed += 1
        check_size(result)
        return result
    except UnexpectedToken:
        raise explain(tokens, fed, partial(_accepted, start=start)) from None


def _symbol(tokens: Sequence[Token], i: int, names: dict[str, str], possible: Collection[str]) -> str:
    text = tokens[i].value
    if text == "(" and "LAMBDA_LPAR" in possible and keywords.opens_lambda(tokens, i):
        return "LAMBDA_LPAR"
    return names.get(text, text)


def _accepted(tokens: Sequence[Token], start: str) -> set[str]:
    """What could have followed these tokens, exactly: found by offering them again."""
    parser: Any = grammar().parse_interactive(None, start)
    for token in tokens:
        parser.feed_token(token)
    return set(parser.accepts())
