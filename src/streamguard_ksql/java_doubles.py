"""The digits that Java prints of a double.

Until 19 Java's Double.toString does not always print the fewest digits that say which number it is: around a power of
two it takes the next number for half as far as it is, and of whole numbers beyond 2^53 it prints digits of the exact
value. ksqlDB 0.29 runs on Java 11.

Source: the Java SE 11 API documentation of Double.toString; Steele and White, "How to print floating-point numbers
accurately", whose algorithm it is; values as recorded.
"""

from __future__ import annotations

import math
from functools import lru_cache

_EXACT_LIMIT = 2.0**53
_SMALLEST_NORMAL = 2.2250738585072014e-308
_LOG10_OF_2 = 0.301029995663981
_SHORT = 15
"""Digits up to which all ways to print a double agree, but for powers of two beyond _ORDINARY."""
_ORDINARY = 1e-30, 1e30


def shortest_digits(magnitude: float) -> tuple[str, int]:
    """The digits of a positive, finite double, and n where its value is 0.digits * 10^n."""
    text = repr(magnitude)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    place = int(exponent or 0) + (len(whole) if whole != "0" else len(digits) - len(fraction))
    digits = digits.rstrip("0")
    is_plain = len(digits) <= _SHORT and _ORDINARY[0] < magnitude < _ORDINARY[1]
    if is_plain or (_SMALLEST_NORMAL <= magnitude < _EXACT_LIMIT and math.frexp(magnitude)[0] != 0.5):
        return digits, place
    return _developed(magnitude)


@lru_cache(maxsize=4096)
def _developed(magnitude: float) -> tuple[str, int]:
    fraction, exponent = math.frexp(magnitude)
    bits = max(1, min(53, exponent + 1074))
    mantissa = int(math.ldexp(fraction, 53))
    exponent -= 1
    significant = mantissa.bit_length() - ((mantissa & -mantissa).bit_length() - 1)
    if 0 <= exponent <= 62 and significant - exponent - 1 <= 0:
        return _of_whole(int(magnitude), exponent - bits)
    return _by_remainders(mantissa, exponent, bits, is_power=significant == 1)


def _of_whole(value: int, beyond: int) -> tuple[str, int]:
    """A whole number below 2^63; digits below the precision of a double are rounded away."""
    dropped = int((beyond - 1) * _LOG10_OF_2) if beyond > 1 else 0
    unit = 10**dropped
    value, rest = divmod(value, unit)
    if dropped and rest >= unit // 2:
        value += 1
    text = str(value)
    return text.rstrip("0"), len(text) + dropped


def _by_remainders(mantissa: int, exponent: int, bits: int, *, is_power: bool) -> tuple[str, int]:
    """Digit by digit, until the rest is below half the distance to the next double."""
    place = math.floor(
        (mantissa / 2.0**52 - 1.5) * 0.289529654 + 0.176091259 + exponent * _LOG10_OF_2
    )  # of the first digit, or one too many
    # value = b / s * 10^place, half the distance m / s
    shift = exponent - 52
    b, s = mantissa << max(shift, 0), 1 << max(-shift, 0)
    b, s = b << 56, s << 56
    m = (1 << (max(shift, 0) + 56)) << (53 - bits) >> 1
    if is_power:
        m >>= 1
    if place > 0:
        s *= 10**place
    else:
        b, m = b * 10**-place, m * 10**-place
    digits: list[int] = []
    low = high = False
    first = True
    while not (low or high):
        digit, rest = divmod(b, s)
        b, m = rest * 10, m * 10
        low, high = b < m, b + m >= s * 10
        if first and digit == 0 and not high:
            place -= 1
        else:
            digits.append(digit)
        if first and not -3 <= place < 8:
            low = high = False
        first = False
    if high and (not low or 2 * b > s * 10 or (2 * b == s * 10 and digits[-1] % 2)):
        return _rounded_up(digits, place + 1)
    return "".join(map(str, digits)).rstrip("0"), place + 1


def _rounded_up(digits: list[int], place: int) -> tuple[str, int]:
    number = str(int("".join(map(str, digits))) + 1)
    return number.rstrip("0"), place + len(number) - len(digits)
