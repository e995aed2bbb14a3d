"""What Java does to numbers: their text forms, two's complement arithmetic, narrowing and rounding.

ksqlDB runs on the JVM and its answers show it: `1.0E10`, an INTEGER that wraps around, a DOUBLE that saturates when it
becomes an INTEGER. Everything that prints or computes numbers goes through here.

Source: the Java SE API documentation of Double.toString, BigDecimal and Math; the Java Language Specification 5.1.3
(narrowing) and 15.17 (division, remainder).
"""

from __future__ import annotations

import decimal
import math
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.java_doubles import shortest_digits
from streamguard_ksql.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN

CONTEXT = decimal.Context(prec=400, rounding=decimal.ROUND_HALF_UP, Emax=999_999, Emin=-999_999)
"""Decimal arithmetic without loss for every DECIMAL that can be declared; Python's default keeps 28 digits only."""

SPACE = "".join(map(chr, range(33)))
"""What String.trim takes off: the blank and the control characters before it."""

_DOUBLE = re.compile(r"[+-]?(NaN|Infinity|([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)")
_INTEGER = re.compile(r"[+-]?\d{1,4000}")
"""More digits than any number has; of more than 4,300 Python reads none."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def wrap_int(value: int) -> int:
    """The low 32 bits as Java's int."""
    return ((value + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def wrap_long(value: int) -> int:
    """The low 64 bits as Java's long."""
    return ((value + 0x8000_0000_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF) - 0x8000_0000_0000_0000


def double_to_int(value: float) -> int:
    """Narrowing: towards zero, NaN is 0, what is too large stays at the border."""
    return _saturate(value, INT_MIN, INT_MAX)


def double_to_long(value: float) -> int:
    """As `double_to_int`, with the borders of a long."""
    return _saturate(value, BIGINT_MIN, BIGINT_MAX)


def _saturate(value: float, low: int, high: int) -> int:
    if value != value:
        return 0
    if value <= low:
        return low
    return high if value >= high else int(value)


def divide(left: int, right: int) -> int:
    """Integer division towards zero; EvaluationError by zero. The caller wraps (MIN / -1)."""
    if right == 0:
        raise EvaluationError("/ by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def remainder(left: int, right: int) -> int:
    """The remainder with the sign of the left side; EvaluationError by zero."""
    if right == 0:
        raise EvaluationError("/ by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def divide_doubles(left: float, right: float) -> float:
    """IEEE 754 division: by zero it is an infinity or NaN, never an error."""
    if right:
        return left / right
    if left != left or right != right or left == 0:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def remainder_doubles(left: float, right: float) -> float:
    """The `%` of doubles: sign of the left side, NaN by zero."""
    if right == 0 or math.isinf(left) or left != left or right != right:
        return math.nan
    return math.fmod(left, right)


def double_to_string(value: float) -> str:
    """Double.toString: `0.001` to `9999999.0` plain, `1.0E10` and `1.0E-5` beyond, `NaN`, `Infinity`."""
    magnitude = abs(value)
    if 1e-3 <= magnitude < 1e7:
        return repr(value)
    if magnitude == 0:
        return "-0.0" if math.copysign(1.0, value) < 0 else "0.0"
    if value != value:
        return "NaN"
    sign = "-" if value < 0 else ""
    if math.isinf(value):
        return f"{sign}Infinity"
    digits, place = shortest_digits(magnitude)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{place - 1}"


def decimal_to_string(value: decimal.Decimal) -> str:
    """BigDecimal.toPlainString: all digits of its scale, never an exponent, and no negative zero."""
    return format(value or value.copy_abs(), "f")


def boolean_to_string(value: bool) -> str:
    return "true" if value else "false"


def parse_int(text: str) -> int:
    """Integer.parseInt; EvaluationError if the text is no int."""
    return _parse_integer(text, INT_MIN, INT_MAX)


def parse_long(text: str) -> int:
    """Long.parseLong; EvaluationError if the text is no long."""
    return _parse_integer(text, BIGINT_MIN, BIGINT_MAX)


def _parse_integer(text: str, low: int, high: int) -> int:
    if not _INTEGER.fullmatch(text) or not low <= (value := int(text)) <= high:
        raise EvaluationError(f'For input string: "{text}"')
    return value


def parse_double(text: str) -> float:
    """Double.parseDouble without blanks and its hexadecimal form; EvaluationError if the text is no number."""
    if not _DOUBLE.fullmatch(text):
        raise EvaluationError(f'For input string: "{text}"' if text else "empty String")
    return float(text if text[-1] not in "fFdD" else text[:-1])


def parse_decimal(text: str) -> decimal.Decimal:
    """new BigDecimal(text); EvaluationError if the text is no number."""
    if not _DECIMAL.fullmatch(text):
        raise EvaluationError(f"not a number: {text!r}")
    return CONTEXT.create_decimal(text)


def fit_decimal(value: decimal.Decimal, precision: int, scale: int) -> decimal.Decimal:
    """The value rounded half up to the scale; EvaluationError if it has more digits than the precision allows."""
    fitted = value.quantize(decimal.Decimal(1).scaleb(-scale), context=CONTEXT)
    if fitted.copy_abs() >= decimal.Decimal(1).scaleb(precision - scale):
        raise EvaluationError(
            f"Numeric field overflow: A field with precision {precision} and scale {scale} must round to an absolute "
            f"value less than 10^{precision - scale}. Got {decimal_to_string(value)}"
        )
    return fitted


def double_to_decimal(value: float) -> decimal.Decimal:
    """BigDecimal.valueOf: the digits that Double.toString shows; EvaluationError for NaN and infinities."""
    if not math.isfinite(value):
        raise EvaluationError(f"{double_to_string(value)} is not a decimal")
    return CONTEXT.create_decimal(double_to_string(value))


def round_half_up(value: float) -> int:
    """Math.round: the nearest long, halves towards positive infinity; NaN is 0, borders saturate."""
    if not math.isfinite(value):
        return double_to_long(value)
    whole = math.floor(value)
    return max(BIGINT_MIN, min(BIGINT_MAX, whole + 1 if value - whole >= 0.5 else whole))


def units(text: str) -> str:
    """A text with a character for each UTF-16 unit, as Java counts: two surrogates for an emoji."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-be", "surrogatepass")
    return "".join(map(chr, struct.unpack(f">{len(data) // 2}H", data)))


def from_units(text: str) -> str:
    """The text of `units`: surrogates that are a pair become one character again."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


@lru_cache(maxsize=8192)
def string_hash(text: str) -> int:
    """String.hashCode: over UTF-16 units, as an int."""
    result = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(units), 2):
        result = (31 * result + (units[index] << 8 | units[index + 1])) & 0xFFFF_FFFF
    return wrap_int(result)


def hash_map_order(entries: Mapping[Any, Any]) -> list[Any]:
    """The keys in the order in which a HashMap that was made for so many entries gives them.

    It shows where a function goes through a map (REDUCE, MAP_KEYS, ENTRIES). Keys that are not strings stay in order.
    """
    keys = list(entries)
    if len(keys) < 2 or not all(isinstance(key, str) for key in keys):
        return keys
    capacity = 1 << (len(keys) - 1).bit_length()
    if len(keys) > capacity * 3 // 4:
        capacity *= 2

    def bucket(key: str) -> int:
        code = string_hash(key) & 0xFFFF_FFFF
        return (code ^ code >> 16) & (capacity - 1)

    return sorted(keys, key=bucket)
