"""OFX, which banks export as "Money" or "Quicken": version 1 is SGML whose values have no closing tag, version 2 is XML.

Each STMTTRN is a row: its own elements, those nested in it with dots, and ACCTID and CURDEF of its statement.
Source: Open Financial Exchange, versions 1.6 and 2.2, chapter 11.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

from streamguard.ingest.files.source import Row, Unreadable

_ELEMENT = re.compile(r"<(/?)([A-Za-z0-9._]+)\s*>([^<]*)")
_LITERAL = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.S)
_BEGINNING = re.compile(rb"\s*(OFXHEADER\s*:|<\?xml[^>]*>\s*<\?OFX\b|<\?OFX\b|(<\?xml[^>]*>\s*)?<OFX>)", re.I)
_CHARSET = re.compile(rb"^\s*(?:ENCODING:\s*(UTF-8|UNICODE)|CHARSET:\s*(\d+|ISO-8859-\d+))", re.I | re.M)
_ACCOUNTS = ("BANKACCTFROM", "CCACCTFROM")
_NESTED = {"PAYEE", "BANKACCTTO", "CCACCTTO", "CURRENCY", "ORIGCURRENCY", "EXTDPAYEE", "IMAGEDATA"}


def is_ofx(head: bytes) -> bool:
    return _BEGINNING.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


def charset_of(head: bytes) -> str | None:
    """The encoding that the header of version 1 names."""
    found = _CHARSET.findall(head[:1_000])
    for unicode, charset in found:
        if unicode:
            return "utf-8"
        if charset:
            name = charset.decode("ascii").lower()
            return f"windows-{name}" if name.isdigit() else name
    return None


def ofx_rows(text: str) -> Iterator[Row | Unreadable]:
    """The transactions of a text, in order."""
    text = _LITERAL.sub(lambda found: html.escape(found[1]), text)
    statement: dict[str, Any] = {"ACCTID": None, "CURDEF": None}
    within: list[str] = []
    row: dict[str, Any] | None = None
    start = line = position = 0
    for element in _ELEMENT.finditer(text):
        line += text.count("\n", position, element.start())
        position = element.start()
        closes, tag, value = element[1], element[2].upper(), html.unescape(element[3].strip())
        if tag == "STMTTRN":
            if row is not None and not closes:
                yield Unreadable(start + 1, "", "the transaction has no end: </STMTTRN> is missing")
            elif row is not None:
                yield Row(start + 1, row)
            row, start, within = (None if closes else {**statement}), line, []
        elif closes:
            within = within[: within.index(tag)] if tag in within else within
        elif row is not None and tag in _NESTED and not value:
            within.append(tag)
        elif row is not None:
            row[".".join([*within, tag])] = value
        elif tag in _ACCOUNTS:
            within = [tag]
        elif tag == "CURDEF" or (tag == "ACCTID" and within and within[0] in _ACCOUNTS):
            statement[tag] = value
    if row is not None:
        yield Unreadable(start + 1, "", "the transaction has no end: </STMTTRN> is missing")
