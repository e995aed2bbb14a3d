"""How large a statement may be: so deep and so large that no part of the engine runs out of stack or time over it.

Chains (`a OR b OR c`, `a + b - c`) lean left and are walked in loops wherever a tree is visited: they count as one level,
however long they are. Everything else that is nested is visited by recursion.
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.types import SqlType

DEPTH_LIMIT = 250
"""Levels of expressions, joins or types within each other."""
PARTS_LIMIT = 200_000
"""Nodes of the syntax tree."""
_LEVELS = (ast.Expression, ast.Relation, SqlType)
_FRAMES_PER_LEVEL = 10
"""Calls within each other that a visitor makes at most for one level."""


def check_size(tree: Any) -> None:
    """SqlSyntaxError for a tree that is too deep or too large; else there is stack enough for every visitor of it."""
    deepest = parts = 0
    left: list[tuple[Any, int]] = [(tree, 0)]
    while left:
        node, depth = left.pop()
        if isinstance(node, tuple):
            left += [(item, depth) for item in node]
        elif is_dataclass(node):
            parts += 1
            depth += isinstance(node, _LEVELS)
            deepest = max(deepest, depth)
            if depth > DEPTH_LIMIT:
                raise SqlSyntaxError(
                    f"{_place(node)}The statement is nested deeper than {DEPTH_LIMIT} levels. Chains of AND, of OR and of "
                    "arithmetic may be longer: write the condition as a chain, or divide the query into several."
                )
            if parts > PARTS_LIMIT:
                raise SqlSyntaxError(
                    f"The statement has more than {PARTS_LIMIT} columns, constants, operators and calls. Divide it into "
                    "several, or put the constants into a table and join it."
                )
            left += [(value, depth - _continues(node, value)) for f in fields(node) if (value := getattr(node, f.name))]
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + _FRAMES_PER_LEVEL * deepest))


def _continues(node: Any, value: Any) -> bool:
    """Whether `value` is the left side of a chain that `node` goes on with."""
    return isinstance(node, ast.Chain) and value is node.left and ast.same_chain(node, value)


def _place(node: Any) -> str:
    location = getattr(node, "location", None)
    return f"line {location.line}:{location.column}: " if location else ""
