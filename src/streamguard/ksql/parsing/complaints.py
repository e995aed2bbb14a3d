"""Says what is wrong with a statement, in ksqlDB's words."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from streamguard.ksql.errors import SqlSyntaxError
from streamguard.ksql.parsing.keywords import RESERVED
from streamguard.ksql.parsing.lexer import END, NAME, Token

MOST_NAMED = 6
"""More expected words than these are noise: the nearest one is named instead."""


def explain(found: Token, accepted: Collection[str], *, first: bool) -> SqlSyntaxError:
    """The refusal of a token where only the terminals `accepted` could stand."""
    at = found.location
    text = "<EOF>" if found.type == END else found.text
    return SqlSyntaxError(f"line {at.line}:{at.column}: Syntax Error\n{_reason(found, text, accepted, first)}")


def _reason(found: Token, text: str, accepted: Collection[str], first: bool) -> str:
    at = found.location
    nearest = get_close_matches(text.upper(), sorted(name for name in accepted if name.isalpha()), n=1)
    hint = f"\nDid you mean '{nearest[0]}'?" if nearest else ""
    if first:
        return f"Unknown statement '{text}'{hint}"
    if accepted == {NAME} and found.value in RESERVED:
        return (
            f'"{text}" is a reserved keyword and it can\'t be used as an identifier.'
            f" You can use it as an identifier by escaping it as '{text}' "
        )
    if len(accepted) <= MOST_NAMED and (NAME not in accepted or len(accepted) == 1):
        return f"Expecting {{{', '.join(sorted(map(_shown, accepted)))}}}{hint}"
    return f"Syntax error at or near '{text}' at line {at.line}:{at.column}{hint}"


_SHOWN = {
    NAME: "IDENTIFIER",
    "TEXT": "STRING",
    "INTEGER_VALUE": "INTEGER_VALUE",
    "DECIMAL_VALUE": "DECIMAL_VALUE",
    "DOUBLE_VALUE": "FLOATING_POINT_VALUE",
    "ARRAY_NEW": "'ARRAY'",
    "MAP_NEW": "'MAP'",
    "STRUCT_NEW": "'STRUCT'",
    "LAMBDA_LPAR": "'('",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "DOT": "'.'",
    "SEMICOLON": "';'",
    "EQUAL": "'='",
    "LESSTHAN": "'<'",
    "MORETHAN": "'>'",
    "PLUS": "'+'",
    "MINUS": "'-'",
    "STAR": "'*'",
    "SLASH": "'/'",
    "PERCENT": "'%'",
    "LSQB": "'['",
    "RSQB": "']'",
    "ARROW": "'->'",
    "MAPS_TO": "'=>'",
    "ASSIGN": "':='",
    "NE": "'<>'",
    "LE": "'<='",
    "GE": "'>='",
    "CONCAT": "'||'",
    END: "<EOF>",
}


def _shown(terminal: str) -> str:
    """A terminal of the grammar as ksqlDB names it: keywords and symbols in quotes, kinds of value without."""
    return _SHOWN.get(terminal, f"'{terminal}'")
