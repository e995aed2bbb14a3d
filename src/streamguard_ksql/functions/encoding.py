"""Between strings and bytes: hex, utf8, ascii and base64; numbers from bytes.

The encodings replace what they cannot express, as Java's charsets do: U+FFFD when reading, `?` when writing.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import CallSite, scalar

STRING = "STRING"
_HEX_DIGITS = re.compile(r"[0-9A-Fa-f]*")
_HEX_PREFIX = re.compile(r"(?:0[xX])?([^']*)|[xX]'(.*)'", re.DOTALL)


def _from_hex(text: str) -> bytes:
    """`4a`, `0x4a` or `X'4a'`; a digit is put in front of an odd number of digits."""
    match = _HEX_PREFIX.fullmatch(text)
    digits = (match.group(1) if match.group(1) is not None else match.group(2)) if match else text
    try:
        return bytes.fromhex("0" * (len(digits) % 2) + digits)
    except ValueError:
        raise EvaluationError(f"not hexadecimal: {text!r}") from None


def _from_plain_hex(text: str) -> bytes:
    """Pairs of digits and nothing else."""
    if len(text) % 2 or not _HEX_DIGITS.fullmatch(text):
        raise EvaluationError(f"not hexadecimal, or of an odd number of digits: {text!r}")
    return bytes.fromhex(text)


def _from_base64(text: str) -> bytes:
    """The padding may be missing, but not be too short or too long."""
    digits = text.rstrip("=")
    missing = -len(digits) % 4
    if missing == 3 or (digits != text and len(text) - len(digits) != missing):
        raise EvaluationError(f"not base64: {text!r}")
    try:
        return base64.b64decode(digits + "=" * missing, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError(f"not base64: {text!r}") from None


def _utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise EvaluationError(f"not UTF-8: {value.hex()[:60]}") from None


_TO_BYTES: dict[str, Callable[[str], bytes]] = {
    "hex": _from_hex,
    "utf8": lambda text: text.encode("utf-8", "replace"),
    "ascii": lambda text: text.encode("ascii", "replace"),
    "base64": _from_base64,
}
_TO_TEXT: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "utf8": lambda value: value.decode("utf-8", "replace"),
    "ascii": lambda value: value.decode("ascii", "replace"),
    "base64": lambda value: base64.b64encode(value).decode("ascii"),
}


def _encoding(name: str) -> str:
    if name.lower() not in _TO_BYTES:
        raise EvaluationError(f"Unknown encoding type '{name}'. Supported formats are 'hex', 'utf8', 'ascii', 'base64'")
    return name.lower()


@scalar(
    "TO_BYTES",
    "(value VARCHAR, encoding VARCHAR) -> BYTES",
    category=STRING,
    description="The bytes of a string in an encoding.",
)
def to_bytes(value: str, encoding: str) -> bytes:
    name = _encoding(encoding)
    return _from_plain_hex(value) if name == "hex" else _TO_BYTES[name](value)


@scalar(
    "FROM_BYTES",
    "(value BYTES, encoding VARCHAR) -> VARCHAR",
    category=STRING,
    description="Bytes as a string in an encoding.",
)
def from_bytes(value: bytes, encoding: str) -> str:
    name = _encoding(encoding)
    if name == "utf8":
        return _utf8(value)
    return value.hex().upper() if name == "hex" else _TO_TEXT[name](value)


@scalar(
    "ENCODE",
    "(str VARCHAR, inputEncoding VARCHAR, outputEncoding VARCHAR) -> VARCHAR",
    category=STRING,
    description="A string in one encoding rewritten in another.",
)
def encode(text: str, source: str, target: str) -> str:
    """Its hexadecimal digits are in lower case, those of FROM_BYTES in upper case; it takes the latter with a prefix."""
    return _TO_TEXT[_encoding(target)](_TO_BYTES[_encoding(source)](text))


def _number(value: bytes, order: str, code: str) -> float | int | None:
    """NULL for a wrong number of bytes or an unknown byte order."""
    prefix = {"BIG_ENDIAN": ">", "LITTLE_ENDIAN": "<"}.get(order)
    if prefix is None:
        raise EvaluationError(f"byte order must be BIG_ENDIAN or LITTLE_ENDIAN: {order}")
    if len(value) != struct.calcsize(code):
        raise EvaluationError(f"Number of bytes must be equal to {struct.calcsize(code)}, but found {len(value)}")
    number: float | int = struct.unpack(prefix + code, value)[0]
    return number


def _register(name: str, returns: str, code: str) -> None:
    def bind(site: CallSite) -> Callable[..., float | int | None]:
        # ksqlDB knows the order by the literal's identity: the same word in a column is none to it.
        order = "BIG_ENDIAN" if len(site.types) == 1 else str(site.literals.get(1, "of a column"))
        return lambda value, *_: _number(value, order, code)

    signatures = (f"(value BYTES) -> {returns}", f"(value BYTES, byteOrder VARCHAR) -> {returns}")
    description = f"The {returns} in bytes, big-endian by default; the order has to be a literal."
    scalar(name, *signatures, category="CONVERSIONS", bind=True, description=description)(bind)


_register("INT_FROM_BYTES", "INT", "i")
_register("BIGINT_FROM_BYTES", "BIGINT", "q")
_register("DOUBLE_FROM_BYTES", "DOUBLE", "d")
