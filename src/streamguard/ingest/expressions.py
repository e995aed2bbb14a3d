"""What stands on the right of a mapping: where in a row a value is found, and how it is written there.

    amt                             a column; members of JSON with dots: payload.after.amt
    "Created date (UTC)"            a column whose name has one of the signs below
    'USD'                           the same text for every row
    #                               an id made of the row's own content
    Date+' '+Time                   texts one behind the other
    ts:iso@America/Sao_Paulo        a column, how it is written, and its zone, or the day that it counts from
    Withdrawn|Paid In               the first that is there and not empty

`parse` reads the text, `str()` of the result writes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:'(?P<literal>(?:[^']|'')*)'|"(?P<quoted>(?:[^"]|"")*)"|(?P<sign>[+|:@,=])|(?P<bare>[^+|:@,='"]+))"""
)
_BARE = re.compile(r"[^+|:@,='\"#\s](?:[^+|:@,='\"]*[^+|:@,='\"\s])?")


class Malformed(ValueError):
    """A text that is no expression or mapping; the reason names the place."""


@dataclass(frozen=True, slots=True)
class Literal:
    """The same text for every row."""

    text: str

    def __str__(self) -> str:
        return "'" + self.text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name; letter case does not matter where the name alone is not found."""

    name: str

    def __str__(self) -> str:
        return self.name if _BARE.fullmatch(self.name) else '"' + self.name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class RowId:
    """An id made of what the row says."""

    def __str__(self) -> str:
        return "#"


Term = Literal | Column | RowId


@dataclass(frozen=True, slots=True)
class Alternative:
    """Terms one behind the other, how the whole is written, and its zone or origin."""

    terms: tuple[Term, ...]
    forms: tuple[str, ...] = ()
    at: str | None = None

    def __str__(self) -> str:
        text = "+".join(map(str, self.terms)) + "".join(f":{form}" for form in self.forms)
        return text if self.at is None else f"{text}@{self.at}"


@dataclass(frozen=True, slots=True)
class Expression:
    """Alternatives in the order in which they are tried."""

    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        return "|".join(map(str, self.alternatives))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns in it."""
        return tuple(term.name for one in self.alternatives for term in one.terms if isinstance(term, Column))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """One expression; raises Malformed."""
    return _expression(_Cursor(text), ends=())


def parse_assignments(text: str) -> list[tuple[str, Expression]]:
    """`name=expression,name=expression`; raises Malformed."""
    cursor, found = _Cursor(text), []
    while cursor.peek() is not None:
        name = cursor.take("bare", "quoted", wanted="the name of a field, such as amount")
        cursor.sign("=", f"after {name.text.strip()!r}")
        found.append((name.text.strip(), _expression(cursor, ends=(",",))))
        if cursor.peek() is not None:
            cursor.sign(",", "between two fields")
    return found


class _Cursor:
    """The tokens of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def take(self, *kinds: str, wanted: str) -> _Token:
        token = self.peek()
        if token is None:
            raise Malformed(f"{self._text!r} ends where {wanted} is expected")
        if token.kind not in kinds:
            raise Malformed(f"{self._text!r}, character {token.at + 1}: {wanted} is expected, not {token.text!r}")
        self._next += 1
        return token

    def sign(self, sign: str, where: str) -> None:
        if not self.skip(sign):
            token = self.peek()
            place = "its end" if token is None else f"character {token.at + 1}"
            raise Malformed(f"{self._text!r}, {place}: {sign} is expected {where}")

    def skip(self, sign: str) -> bool:
        token = self.peek()
        if token is None or token.kind != "sign" or token.text != sign:
            return False
        self._next += 1
        return True


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise Malformed(f"{text!r}, character {at + 1}: a quotation mark is not closed")
        value = found[found.lastgroup]
        if found.lastgroup in ("literal", "quoted"):
            mark = "'" if found.lastgroup == "literal" else '"'
            value = value.replace(mark * 2, mark)
        if found.lastgroup != "bare" or value.strip():
            yield _Token(found.lastgroup, value, found.start(found.lastgroup))
        at = found.end()


def _expression(cursor: _Cursor, ends: tuple[str, ...]) -> Expression:
    alternatives = [_alternative(cursor)]
    while cursor.skip("|"):
        alternatives.append(_alternative(cursor))
    token = cursor.peek()
    if token is not None and token.text not in ends:
        raise Malformed(
            f'character {token.at + 1}: {token.text!r} is not expected here; put names with such signs into "..."'
        )
    return Expression(tuple(alternatives))


def _alternative(cursor: _Cursor) -> Alternative:
    terms = [_term(cursor)]
    while cursor.skip("+"):
        terms.append(_term(cursor))
    forms = []
    while cursor.skip(":"):
        forms.append(cursor.take("bare", wanted="a form, such as iso or comma").text.strip())
    at = _place(cursor) if cursor.skip("@") else None
    return Alternative(tuple(terms), tuple(forms), at)


def _term(cursor: _Cursor) -> Term:
    token = cursor.take("bare", "quoted", "literal", wanted="a column, a 'text' or #")
    if token.kind == "literal":
        return Literal(token.text)
    name = token.text.strip() if token.kind == "bare" else token.text
    return RowId() if name == "#" and token.kind == "bare" else Column(name)


def _place(cursor: _Cursor) -> str:
    """A zone or a date: +03:00 and 2017-01-01T00:00 have signs in them."""
    wanted = "a zone such as America/Sao_Paulo, or a day such as 2017-01-01"
    sign = "+" if cursor.skip("+") else ""
    text = sign + cursor.take("bare", "literal", "quoted", wanted=wanted).text.strip()
    while cursor.skip(":"):
        text += ":" + cursor.take("bare", wanted=wanted).text.strip()
    return text
