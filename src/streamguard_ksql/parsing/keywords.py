"""Which words are reserved, and what a word that is not means in its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streamguard_ksql.parsing.lexer import NAME, SYMBOL, TEXT, WORD, Token
from streamguard_ksql.refusals import accepted_before

_RESERVED = """
    ADVANCE ALL AND AS AT BEGINNING BETWEEN BY CASE CAST CONNECTOR CONNECTORS CREATE DAYS DEFINE DELETE DESCRIBE DISTINCT
    DROP ELSE END EXISTS EXTENDED FALSE FROM FULL GRACE GROUP HAVING HOPPING HOURS IN INNER INSERT INTO IS JOIN LEFT LIKE
    LIMIT LIST MATERIALIZED MILLISECOND MILLISECONDS MINUTES MONTHS NOT NULL ON OR OUTER PAUSE PERIOD PRINT PROPERTIES
    QUERIES QUERY RESUME RETENTION RIGHT RUN SAMPLE SCRIPT SECONDS SELECT SIZE STREAM STREAMS TABLE TERMINATE THEN TO
    TOPIC TOPICS TRUE TUMBLING UNDEFINE UNSET VALUES VARIABLES VIEW WHEN WHERE WINDOW WITH WITHIN YEARS
"""
RESERVED = frozenset(_RESERVED.split())
"""Never names, unless quoted: the keywords of the manual's appendix, but for those that are proven to be names as well.

Other keywords are names wherever a name may be and no rule below says otherwise.
"""

Rule = Callable[[Sequence[Token], int], bool]


def _before(*values: str) -> Rule:
    """The next token is one of these words or symbols."""

    def rule(tokens: Sequence[Token], i: int) -> bool:
        return i + 1 < len(tokens) and tokens[i + 1].type in (WORD, SYMBOL) and tokens[i + 1].value in values

    return rule


def _not_before(*values: str) -> Rule:
    follows = _before(*values)
    return lambda tokens, i: not follows(tokens, i)


def _before_text(tokens: Sequence[Token], i: int) -> bool:
    return i + 1 < len(tokens) and tokens[i + 1].type == TEXT


def _before_column(tokens: Sequence[Token], i: int) -> bool:
    """`ADD COLUMN a INT`, but not `ADD COLUMN INT`, where COLUMN is the name."""
    return i + 2 < len(tokens) and tokens[i + 2].value not in (",", ";", "<", "(")


RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "ARRAY": (("ARRAY_NEW", _before("[")), ("ARRAY", _before("<"))),
    "MAP": (("MAP_NEW", _before("(")), ("MAP", _before("<"))),
    "STRUCT": (("STRUCT_NEW", _before("(")), ("STRUCT", _before("<", "<>"))),
    "EMIT": (("EMIT", _before("CHANGES", "FINAL")),),
    "PARTITION": (("PARTITION", _before("BY")),),
    "ESCAPE": (("ESCAPE", _before_text),),
    "COLUMN": (("COLUMN", _before_column),),
    "TABLES": (("TABLES", _before(";", "EXTENDED")),),
    "FUNCTION": (("FUNCTION", _not_before(";", "EXTENDED")),),
    "IF": (("IF", _before("NOT", "EXISTS")),),
}
"""Where the parser could take a word as a name as well: the terminals it may be instead, and when."""


_ONCE_NAMES = frozenset(
    """
    ADVANCE ALL AT BEGINNING CONNECTOR CONNECTORS DAYS DEFINE EXTENDED GRACE HOPPING HOURS LIST MATERIALIZED MILLISECOND
    MILLISECONDS MINUTES MONTHS PAUSE PERIOD PROPERTIES QUERIES QUERY RESUME RETENTION RUN SAMPLE SCRIPT SECONDS SIZE
    STREAMS TO TOPIC TOPICS TUMBLING UNDEFINE VARIABLES VIEW WINDOW YEARS
    """.split()
)
"""Reserved words that were names in earlier versions: so they are in statements that these accepted."""
_BEFORE_RESERVED: dict[str, Rule] = {
    "WINDOW": _before("TUMBLING", "HOPPING", "SESSION"),
    "ALL": _before(";"),
    "DAYS": _before(")", ","),
    "HOURS": _before(")", ","),
    "MINUTES": _before(")", ","),
    "SECONDS": _before(")", ","),
    "MILLISECOND": _before(")", ","),
    "MILLISECONDS": _before(")", ","),
}


def meaning(tokens: Sequence[Token], i: int, possible: Collection[str]) -> str:
    """The terminal of the word `tokens[i]`, where the parser can take the terminals `possible` next."""
    word = tokens[i].value
    if i == 1 and tokens[0].value in ("DEFINE", "UNDEFINE"):
        return NAME  # of a variable
    if word in _ONCE_NAMES and accepted_before.get():
        rule = _BEFORE_RESERVED.get(word)
        is_keyword = word in possible and (NAME not in possible or (rule is not None and rule(tokens, i)))
        return word if is_keyword or NAME not in possible else NAME
    if word in RESERVED:
        return word
    for terminal, rule in RULES.get(word, ()):
        if terminal in possible and rule(tokens, i):
            return terminal
    if NAME not in possible and word in possible:
        return word
    return NAME


def opens_lambda(tokens: Sequence[Token], i: int) -> bool:
    """Whether the parenthesis `tokens[i]` has a lambda's parameters: `(a, b) =>`."""
    i += 1
    while i + 1 < len(tokens) and tokens[i].type in (WORD, NAME):
        after = tokens[i + 1]
        if after.type != SYMBOL:
            return False
        if after.value == ")":
            return i + 2 < len(tokens) and tokens[i + 2].type == SYMBOL and tokens[i + 2].value == "=>"
        if after.value != ",":
            return False
        i += 2
    return False
