"""MASK and its relatives: characters replaced by a sign for their class, all of them or those at one end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import scalar
from streamguard_ksql.java import from_units, units

_DEFAULTS = ("X", "x", "n", "-")
_INPUT = "`input STRING to be masked` VARCHAR"
_MASKS = ", ".join(
    f"`{what}, or NULL to use default` VARCHAR"
    for what in ("upper-case mask", "lower-case mask", "digit mask", "mask for other characters")
)
Masks = tuple[Any, ...]


def mask_text(text: str, masks: Masks) -> str:
    """Upper-case letters, lower-case letters, digits and others replaced by their mask; None leaves a class alone."""
    upper, lower, digit, other = (mask[:1] if mask else None for mask in masks)

    def sign(letter: str) -> str:
        if letter.isupper():
            replacement = upper
        elif letter.islower():
            replacement = lower
        elif letter.isdecimal():
            replacement = digit
        else:
            replacement = other
        return letter if replacement is None else replacement

    return "".join(map(sign, text))


def _complete(masks: Masks) -> Masks:
    return masks or _DEFAULTS


@scalar(
    "MASK",
    f"({_INPUT}) -> VARCHAR",
    f"({_INPUT}, {_MASKS}) -> VARCHAR",
    category="STRING",
    nulls="pass",
    description="The string with its letters, digits and other characters masked.",
)
def mask(text: str | None, *masks: str | None) -> str | None:
    return None if text is None else from_units(mask_text(units(text), _complete(masks)))


def _left(text: str, count: int, masks: Masks) -> str:
    return mask_text(text[:count], masks) + text[count:]


def _keep_left(text: str, count: int, masks: Masks) -> str:
    return text[:count] + mask_text(text[count:], masks)


def _right(text: str, count: int, masks: Masks) -> str:
    border = max(0, len(text) - count)
    return text[:border] + mask_text(text[border:], masks)


def _keep_right(text: str, count: int, masks: Masks) -> str:
    border = max(0, len(text) - count)
    return mask_text(text[:border], masks) + text[border:]


def _register(name: str, count: str, description: str, apply: Callable[[str, int, Masks], str]) -> None:
    def body(text: str | None, number: int | None, *masks: str | None) -> str | None:
        if text is None or number is None:
            return None
        if number < 0:
            raise EvaluationError(f"function {name} requires a non-negative number")
        return from_units(apply(units(text), number, _complete(masks)))

    parameters = f"{_INPUT}, `number of characters {count}` INT"
    signatures = (f"({parameters}, {_MASKS}) -> VARCHAR", f"({parameters}) -> VARCHAR")
    scalar(name, *signatures, category="STRING", nulls="pass", description=description)(body)


_register("MASK_LEFT", "to mask from the start", "The string with its first characters masked.", _left)
_register(
    "MASK_KEEP_LEFT",
    "to keep unmasked at the start",
    "The string with all but its first characters masked.",
    _keep_left,
)
_register("MASK_RIGHT", "to mask before the end", "The string with its last characters masked.", _right)
_register(
    "MASK_KEEP_RIGHT", "to keep unmasked at the end", "The string with all but its last characters masked.", _keep_right
)
