"""The messages for wrong statements, worded as in ksqlDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from difflib import get_close_matches

from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.parsing.keywords import RESERVED, RULES
from streamguard_ksql.parsing.lexer import END, NAME, Token

MOST_NAMED = 6
"""More expected words than these are noise: the nearest one is named instead."""

Accepted = Callable[[Sequence[Token]], Set[str]]
"""Gives the terminals that could follow these tokens."""


def explain(tokens: Sequence[Token], i: int, accepted: Accepted) -> SqlSyntaxError:
    """The refusal of `tokens[i]`, up to which all was well."""
    found = tokens[i]
    at = found.location
    text = "<EOF>" if found.type == END else found.text
    start = f"line {at.line}:{at.column}: Syntax Error\n"
    possible = accepted(tokens[:i])
    if i == 0:
        return SqlSyntaxError(f"{start}Unknown statement '{text}'{_did_you_mean(text, possible, likeness=0.7)}")
    possible |= _meant_as_keyword(tokens[:i], accepted)
    reason = _reason(found, text, possible, starts_item=_starts_item(tokens, i))
    hint = _did_you_mean(text, possible) or _misspelt_before(tokens[:i], accepted)
    return SqlSyntaxError(f"{start}{reason}{hint}")


def _starts_item(tokens: Sequence[Token], i: int) -> bool:
    """Whether an item of the SELECT list should be here."""
    return tokens[i - 1].type == "SELECT"


def _reason(found: Token, text: str, accepted: Set[str], *, starts_item: bool) -> str:
    near = f"Syntax error at or near '{text}' at line {found.location.line}:{found.location.column}"
    if found.type == END and "SEMICOLON" in accepted:
        return "missing ';' at '<EOF>'"
    if NAME in accepted and found.type in RESERVED and (starts_item or not accepted & _BEYOND_NAMES):
        reserved = (
            f'"{text}" is a reserved keyword and it can\'t be used as an identifier.'
            f" You can use it as an identifier by escaping it as '{text}' "
        )
        return reserved if accepted == {NAME} or starts_item else f"{near}\n{reserved}"
    if len(accepted) == 1:
        return f"Expecting {_shown(next(iter(accepted)))}"
    if len(accepted) <= MOST_NAMED and NAME not in accepted:
        return f"Expecting {{{', '.join(sorted(map(_shown, accepted)))}}}"
    return near


def _did_you_mean(text: str, accepted: Set[str], likeness: float = 0.75) -> str:
    words = sorted(name for name in accepted if name.isalpha() and name not in _SHOWN)
    nearest = get_close_matches(text.upper(), words, n=1, cutoff=likeness)
    return f"\nDid you mean '{nearest[0]}'?" if nearest else ""


def _meant_as_keyword(before: Sequence[Token], accepted: Accepted) -> Set[str]:
    """What could be here if the last word, read as a name, was the keyword it looks like: `FROM a EMIT <here>`."""
    last = before[-1]
    if last.type == NAME and last.value in RULES and last.value in accepted(before[:-1]):
        return accepted([*before[:-1], replace(last, type=last.value)])
    return set()


def _misspelt_before(before: Sequence[Token], accepted: Accepted) -> str:
    """`FROM a WHER b = 1`: WHER was read as a's alias, and the word after it is refused."""
    last = before[-1]
    if last.type != NAME:
        return ""
    hint = _did_you_mean(last.text, accepted(before[:-1]) - {f"{last.value}S"})  # MINUTE is as right as MINUTES
    return hint.replace("?", f" instead of '{last.text}'?")


_BEYOND_NAMES = frozenset({"CASE", "ARRAY", "SEMICOLON", "COMMA"})
"""Where these are possible too, an expression, a type or an end is expected rather than a name."""


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
