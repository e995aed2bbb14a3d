"""Java's regular expressions, rewritten for the package `regex`, which can be given a time limit.

Rewritten: named groups, classes with unions and intersections, `\\p{..}`, quoting with \\Q..\\E, flags in the middle,
the dot (which in Java stops at more than `\\n`). Refused, as in Java: escapes, groups and repetitions that only `regex`
has. Refused although Java has them: patterns that are so long or repeat so often that compiling them takes all memory.

Source: the Java SE API documentation of java.util.regex.Pattern.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import regex

from streamguard_ksql import limits
from streamguard_ksql.bounded_regex import BoundedPattern
from streamguard_ksql.errors import EvaluationError

_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7F",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1F\x7F",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0B\f\r",
}
_HORIZONTAL = r" \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000"
_VERTICAL = r"\n\x0B\f\r\u0085\u2028\u2029"
_DOT = r"[^\n\r\u0085\u2028\u2029]"
_ESCAPES = frozenset("abcdefhknprstuvwxzABDGHNPQRSVWXZ0123456789")
"""Letters and digits with a meaning after a backslash in Java."""
LENGTH_LIMIT, REPEAT_LIMIT = 10_000, 50_000
"""Characters of a pattern; parts that its counted repetitions (`{n}`) make together."""


@lru_cache(maxsize=512)
def compile_java(pattern: str, limit_s: float = limits.REGEXP_TIMEOUT_MS / 1000) -> BoundedPattern:
    """The pattern, compiled once; EvaluationError for one that cannot be read. A match may take `limit_s` seconds."""
    if len(pattern) > LENGTH_LIMIT:
        raise EvaluationError(f"not a regular expression: more than {LENGTH_LIMIT} characters ({pattern[:40]}...)")
    try:
        return BoundedPattern(_Rewriter(pattern).run(), regex.ASCII, limit_s, shown=pattern)
    except (regex.error, OverflowError) as error:
        raise EvaluationError(f"not a regular expression: {pattern!r} ({error})") from None


@lru_cache(maxsize=64)
def _category(name: str) -> str:
    """The characters of a Unicode category of the basic plane, as the inside of a class."""
    ranges: list[list[int]] = []
    for code in range(0x10000):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    if not ranges:
        raise EvaluationError(f"not a regular expression: unknown property {name}")
    return "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges)


class _Rewriter:
    """Goes once through a Java pattern and writes the Python one."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._open: list[int] = [0]
        self._repeats: list[int] = [0]
        """By open group: the parts that its counted repetitions make."""
        self._last = 1
        """How many parts the item before a quantifier is."""
        self._dot_all = bool(re.search(r"\(\?[a-zA-Z]*s", pattern))

    def run(self) -> str:
        while self._at < len(self._text):
            letter = self._text[self._at]
            step = self._steps.get(letter)
            if letter not in ")*+?{":
                self._last = 1
            if step is None:
                self._out.append(letter)
                self._at += 1
            else:
                step(self)
        return "".join(self._out) + ")" * self._open.pop()

    def _error(self, why: str) -> EvaluationError:
        return EvaluationError(f"not a regular expression: {self._text!r} ({why})")

    def _dot(self) -> None:
        self._out.append("." if self._dot_all else _DOT)
        self._at += 1

    def _quantifier_end(self) -> None:
        """After `*`, `+`, `?` or `}` a plus makes the quantifier possessive."""
        self._out.append(self._text[self._at])
        self._at += 1
        if self._text[self._at : self._at + 1] == "+":
            self._out.append("+")
            self._at += 1

    def _count(self) -> None:
        """`{n}`, `{n,}` or `{n,m}`: unrolled where it is compiled, so that its size has to be bounded."""
        count = re.match(r"\{(\d{1,9})(?:,\d{0,9})?(?=\})", self._text[self._at :])
        if count is None:
            raise self._error("illegal repetition")
        self._repeats[-1] += int(count.group(1)) * self._last
        if self._repeats[-1] > REPEAT_LIMIT:
            raise self._error(f"its repetitions make more than {REPEAT_LIMIT} parts")
        self._out.append(count.group())
        self._at += count.end()

    def _group(self) -> None:
        rest = self._text[self._at :]
        flags = re.match(r"\(\?([idmsuxU]*)(?:-([idmsuxU]+))?([:)])", rest)
        if flags:
            self._flags(flags)
            return
        self._open.append(0)
        self._repeats.append(0)
        named = re.match(r"\(\?<([a-zA-Z]\w*)>", rest)
        if named:
            self._out.append(f"(?P<{named.group(1)}>")
            self._at += named.end()
        else:
            start = re.match(r"\((?:\?(?:[=!>]|<[=!])|(?!\?))", rest)
            if start is None:
                raise self._error("unknown kind of group")
            self._out.append(start.group())
            self._at += start.end()

    def _flags(self, match: re.Match[str]) -> None:
        """`(?i)` applies to the end of its group: it becomes a group of its own."""
        on = "".join(flag for flag in match.group(1) if flag in "imsx")
        off = "".join(flag for flag in match.group(2) or "" if flag in "imsx")
        self._out.append(f"(?{on}{'-' + off if off else ''}:")
        self._at += match.end()
        if match.group(3) == ":":
            self._open.append(0)
            self._repeats.append(0)
        else:
            self._open[-1] += 1

    def _close(self) -> None:
        if len(self._open) < 2:
            raise self._error("unmatched )")
        self._out.append(")" * (self._open.pop() + 1))
        self._last = max(1, self._repeats.pop())
        self._repeats[-1] += self._last
        self._at += 1

    def _escape(self) -> None:
        text, inside = self._read_escape()
        self._out.append(f"[{text}]" if inside else text)

    def _read_escape(self) -> tuple[str, bool]:
        """One escape, and whether it is the inside of a class."""
        rest = self._text[self._at :]
        quoted = re.match(r"\\Q(.*?)(?:\\E|\Z)", rest, re.DOTALL)
        if quoted:
            self._at += quoted.end()
            return re.escape(quoted.group(1)), False
        named = re.match(r"\\([pP])(?:\{(\^?)(?:Is|java)?(\w+)\}|([A-Z]))", rest)
        if named:
            self._at += named.end()
            members = _POSIX.get(named.group(3) or "") or _category(named.group(3) or named.group(4))
            return ("^" if named.group(1) == "P" else "") + members, True
        reference = re.match(r"\\k<(\w+)>", rest)
        if reference:
            self._at += reference.end()
            return f"(?P={reference.group(1)})", False
        code = re.match(r"\\x\{([0-9a-fA-F]+)\}|\\0([0-7]{1,3})|\\c(.)", rest)
        if code:
            self._at += code.end()
            number = _code_point(code)
            if number > sys.maxunicode:
                raise self._error(f"no code point: {code.group()}")
            return re.escape(chr(number)), False
        if len(rest) < 2:
            raise self._error("a backslash at its end")
        self._at += 2
        letter = rest[1]
        if letter.isascii() and letter.isalnum() and letter not in _ESCAPES:
            raise self._error(f"unknown escape \\{letter}")
        simple = _CLASS_ESCAPES.get(letter)
        if simple:
            return simple, True
        return _SIMPLE_ESCAPES.get(letter, f"\\{letter}"), False

    def _class(self) -> None:
        self._at += 1
        self._out.append(self._read_class())

    def _read_class(self) -> str:
        """A class up to its closing bracket; `[a[b]]` is a union, `[a&&[b]]` an intersection."""
        negated = self._text[self._at : self._at + 1] == "^"
        self._at += negated
        parts = [""]
        union: list[list[str]] = [[]]
        first = True
        while True:
            if self._at >= len(self._text):
                raise self._error("unclosed character class")
            letter = self._text[self._at]
            if letter == "]" and not first:
                self._at += 1
                break
            first = False
            if self._text.startswith("&&", self._at):
                self._at += 2
                parts.append("")
                union.append([])
            elif letter == "[":
                self._at += 1
                union[-1].append(self._read_class())
            elif letter == "\\":
                text, inside = self._read_escape()
                if inside and text.startswith("^"):
                    union[-1].append(f"[{text}]")
                else:
                    parts[-1] += text
            else:
                parts[-1] += f"\\{letter}" if letter in "[&~|" else letter
                self._at += 1
        return _combined(parts, union, negated)

    _steps: ClassVar[dict[str, Callable[[_Rewriter], None]]] = {
        ".": _dot,
        "*": _quantifier_end,
        "+": _quantifier_end,
        "?": _quantifier_end,
        "{": _count,
        "}": _quantifier_end,
        "(": _group,
        ")": _close,
        "[": _class,
        "\\": _escape,
    }


_CLASS_ESCAPES = {"h": _HORIZONTAL, "H": f"^{_HORIZONTAL}", "v": _VERTICAL, "V": f"^{_VERTICAL}"}
_SIMPLE_ESCAPES = {"z": r"\Z", "Z": r"(?=\n?\Z)", "e": r"\x1b", "R": r"(?:\r\n|[\n\x0B\f\r\u0085\u2028\u2029])"}


def _code_point(match: re.Match[str]) -> int:
    if match.group(1):
        return int(match.group(1), 16)
    return int(match.group(2), 8) if match.group(2) else ord(match.group(3)) ^ 64


def _combined(parts: list[str], union: list[list[str]], negated: bool) -> str:
    """One class, or where that does not do a group of one character with look-aheads."""
    if len(parts) == 1 and not union[0]:
        return f"[{'^' if negated else ''}{parts[0]}]"
    alternatives = [
        "(?:" + "|".join([f"[{part}]"] * bool(part) + extra) + ")" for part, extra in zip(parts, union, strict=True)
    ]
    if negated:
        return f"(?!{''.join(f'(?={a})' for a in alternatives)})[\\s\\S]"
    return "(?:" + "".join(f"(?={a})" for a in alternatives[:-1]) + alternatives[-1] + ")"


def _group_text(match: Any, group: int | str) -> str:
    try:
        return str(match.group(group) or "")
    except IndexError:
        raise EvaluationError(f"No group {group}") from None


def replacement(text: str) -> Callable[[Any], str]:
    """Java's replacement text (`$1`, `${name}`, `\\$`) as a function of the match."""
    parts: list[str | int | tuple[str]] = []
    for escaped, name, group, plain in re.findall(r"\\(.)|\$\{(\w+)\}|\$(\d)|([^\\$]+|.)", text, re.DOTALL):
        if plain in ("$", "\\"):
            raise EvaluationError(f"Illegal group reference: {text}")
        parts.append(int(group) if group else (name,) if name else escaped or plain)

    def expand(match: Any) -> str:
        expanded = []
        for part in parts:
            if isinstance(part, str):
                expanded.append(part)
            else:
                expanded.append(_group_text(match, part if isinstance(part, int) else part[0]))
        return "".join(expanded)

    return expand
