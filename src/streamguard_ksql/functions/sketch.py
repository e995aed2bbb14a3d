"""How many different values? Exact for up to 1024, then an estimate of bounded size (HyperLogLog, error about 1.6%).

A sketch is {"exact": {fingerprint: 1}} or {"registers": bytes}, with 2**12 registers of one byte.
Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm" (2007), with the linear counting it proposes for small numbers.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

EXACT_LIMIT = 1024
_BITS = 12
_REGISTERS = 1 << _BITS
Sketch = dict[str, Any]


def empty() -> Sketch:
    return {"exact": {}}


def fingerprint(value: Any) -> int:
    """63 bits that are the same in every process: `hash()` is not."""
    digest = hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def add(sketch: Sketch, mark: int) -> Sketch:
    exact = sketch.get("exact")
    if exact is not None:
        exact[mark] = 1
        return sketch if len(exact) <= EXACT_LIMIT else _estimated(exact)
    registers = bytearray(sketch["registers"])
    _note(registers, mark)
    sketch["registers"] = bytes(registers)
    return sketch


def _estimated(marks: dict[int, int]) -> Sketch:
    registers = bytearray(_REGISTERS)
    for mark in marks:
        _note(registers, mark)
    return {"registers": bytes(registers)}


def _note(registers: bytearray, mark: int) -> None:
    index, rest = mark & (_REGISTERS - 1), mark >> _BITS
    rank = 63 - _BITS - rest.bit_length() + 1
    if rank > registers[index]:
        registers[index] = rank


def merge(left: Sketch, right: Sketch) -> Sketch:
    if "exact" in right:
        for mark in right["exact"]:
            left = add(left, mark)
        return left
    if "exact" in left:
        return merge(right, left)
    return {"registers": bytes(map(max, left["registers"], right["registers"]))}


def count(sketch: Sketch) -> int:
    if "exact" in sketch:
        return len(sketch["exact"])
    registers: bytes = sketch["registers"]
    estimate = 0.7213 / (1 + 1.079 / _REGISTERS) * _REGISTERS**2 / sum(2.0**-rank for rank in registers)
    unused = registers.count(0)
    if estimate <= 2.5 * _REGISTERS and unused:
        estimate = _REGISTERS * math.log(_REGISTERS / unused)
    return round(estimate)
