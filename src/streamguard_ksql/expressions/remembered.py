"""Conditions on one text column, answered from memory: most such columns (a currency, a country) have few values.

    LEN(UCASE(currency)) = 3 AND INSTR('EUR USD', UCASE(currency)) > 0

is asked once for each currency instead of once for each row. What is remembered is bounded; a column with many values is
asked each time, and pays for the look.
"""

from __future__ import annotations

from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.transform import expressions

VALUES = 1_000
"""Values of a column that are remembered for one condition."""
LONGEST = 64
"""Characters of a value that is remembered."""
_LEAST_CALLS = 2
"""A single call costs no more than the look."""
_CONDITIONS = (ast.Comparison, ast.Logical, ast.Not, ast.Like, ast.Between, ast.InList, ast.IsNull)


def sole_column(expression: ast.Expression) -> ast.ColumnRef | None:
    """The one column that decides a condition, where the same value always gives the same answer.

    None for what is no condition, and for one with several columns, a lambda, or a function without arguments: the clock
    and what is random are such functions.
    """
    if not isinstance(expression, _CONDITIONS):
        return None
    found: ast.ColumnRef | None = None
    for part in expressions(expression):
        if isinstance(part, ast.LambdaFunction) or (isinstance(part, ast.FunctionCall) and not part.args):
            return None
        if isinstance(part, ast.ColumnRef):
            if found is not None and part != found:
                return None
            found = part
    return found


def is_worth_it(*conditions: ast.Expression) -> bool:
    """Whether conditions on one column are dear enough together."""
    calls = 0
    for condition in conditions:
        for part in expressions(condition):
            calls += isinstance(part, (ast.FunctionCall, ast.Like))
            if calls >= _LEAST_CALLS:
                return True
    return False


class Answers(dict[Any, bool]):
    """The answers so far, by the value of the column."""

    def keep(self, value: Any, answer: bool) -> bool:
        """The answer, remembered where there is room for it."""
        if len(self) < VALUES and (value is None or len(value) <= LONGEST):
            self[value] = answer
        return answer
