"""The encoding of a text: by its mark, else UTF-8, else windows-1252, in which every bank's older exports are."""

from __future__ import annotations

import codecs
import re

from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.streams import HEAD_BYTES

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_NOT_DECODED = re.compile("[\udc80-\udcff]")
UNDECODED = "surrogateescape"
"""How undecodable bytes are kept until `undecoded` finds them."""


def encoding_of(name: str, head: bytes, given: str | None) -> tuple[str, tuple[str, ...]]:
    """Python's name of the encoding, and what was found, for a person. Raises InputError for a name that is unknown."""
    mark = next(((codec, label) for bom, codec, label in _MARKS if head.startswith(bom)), None)
    if given is not None:
        try:
            codec = codecs.lookup(given).name
            "".encode(codec).decode(codec)
        except (LookupError, UnicodeError):
            raise InputError(f"--encoding {given} is not known: such as utf-8, windows-1252, utf-16") from None
        return ("utf-8-sig" if codec == "utf-8" else codec), (given,)
    if mark is not None:
        return mark[0], (mark[1], "byte-order mark")
    try:
        # The head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        if not _is_damaged_utf8(head):
            return "cp1252", ("windows-1252",)
    return "utf-8", ("UTF-8",)


def _is_damaged_utf8(head: bytes) -> bool:
    """Whether more characters are UTF-8 than bytes are not: sequences of other encodings are so by accident only."""
    text = head.decode("utf-8", UNDECODED)
    wrong = len(_NOT_DECODED.findall(text))
    return sum(character > "\x7f" for character in text) - wrong > wrong


def undecoded(text: str) -> bool:
    """Whether bytes in the text are not in its encoding."""
    return not text.isascii() and _NOT_DECODED.search(text) is not None


def shown(text: str) -> str:
    """The text with undecodable bytes as `\\xNN`."""
    return text.encode("utf-8", UNDECODED).decode("utf-8", "backslashreplace")


def undecoded_reason(encoding: str) -> str:
    """Why a line with such bytes is no row."""
    label = "windows-1252" if encoding == "cp1252" else encoding.removesuffix("-sig").upper()
    other = "windows-1252" if label == "UTF-8" else "utf-8"
    return f"it has bytes that are not {label}; if the whole file is in another encoding, name it: --encoding {other}"
