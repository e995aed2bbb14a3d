"""What differs between two texts, as pieces that a page marks."""

from __future__ import annotations

import difflib

Piece = tuple[str, str]
"""A mark (`+`, `-`, `@` for what is left out, or a space for what both have) and a text."""


def lines_that_differ(before: str | None, after: str, around: int = 3) -> list[Piece]:
    """The lines that differ, and `around` them."""
    lines = difflib.unified_diff((before or "").splitlines(), after.splitlines(), lineterm="", n=around)
    return [(line[0], line[1:]) for line in lines if not line.startswith(("---", "+++"))]


def words_that_differ(before: str, after: str, around: int = 14) -> list[Piece]:
    """The words that differ, with at most `around` words on either side of a change; nothing where none does."""
    a, b = before.split(), after.split()
    pieces: list[Piece] = []
    steps = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    for n, (kind, a1, a2, b1, b2) in enumerate(steps):
        if kind != "equal":
            pieces += [(mark, " ".join(words)) for mark, words in (("-", a[a1:a2]), ("+", b[b1:b2])) if words]
            continue
        words = a[a1:a2]
        first, last = words[:around] if n else [], words[-around:] if n < len(steps) - 1 else []
        is_whole = len(words) <= len(first) + len(last)
        pieces.append((" ", " ".join(words) if is_whole else " ".join([*first, "…", *last])))
    return pieces if any(mark != " " for mark, _ in pieces) else []
