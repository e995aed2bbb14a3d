"""Pieces of generated Python: a text, the SQL type of its value, and whether it can be NULL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.types import SqlType


@dataclass(frozen=True)
class Code:
    """An expression in Python. `type` is None for an untyped NULL. `constant` marks literals; their value is `value`."""

    text: str
    type: SqlType | None
    nullable: bool = True
    constant: bool = False
    value: Any = None

    @property
    def is_null(self) -> bool:
        return self.constant and self.value is None


class Environment:
    """The names that generated code refers to, and fresh names for its temporaries."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._known: dict[int, str] = {}
        self._fresh = count()

    def bind(self, value: Any, prefix: str = "k") -> str:
        """A name for a Python object; the same object gets the same name."""
        name = self._known.get(id(value))
        if name is None:
            name = f"{prefix}{next(self._fresh)}"
            self.names[name] = value
            self._known[id(value)] = name
        return name

    def fresh(self, prefix: str = "t") -> str:
        return f"{prefix}{next(self._fresh)}"

    def call(self, function: Callable[..., Any], *arguments: str) -> str:
        return f"{self.bind(function, 'f')}({', '.join(arguments)})"

    def guarded(self, operands: Sequence[Code], result: Callable[..., str], otherwise: str = "None") -> str:
        """`result(texts)`, or `otherwise` where one of the operands is NULL; each operand is evaluated once."""
        tests, texts = [], []
        for operand in operands:
            if not operand.nullable:
                texts.append(operand.text)
            elif operand.is_null:
                return otherwise
            elif _is_simple(operand.text):
                tests.append(f"{operand.text} is None")
                texts.append(operand.text)
            else:
                name = self.fresh()
                tests.append(f"({name} := {operand.text}) is None")
                texts.append(name)
        body = result(*texts)
        return f"({otherwise} if {' or '.join(tests)} else {body})" if tests else body

    def careful(self, code: Code) -> str:
        """The code's text, with a NULL where its evaluation fails: an element that fails does not take its array along."""
        if code.constant or _is_simple(code.text):
            return code.text
        return self.call(_or_null, f"lambda: {code.text}")

    def function(self, parameters: str, body: str) -> Callable[..., Any]:
        """The generated code as a Python function."""
        made: Callable[..., Any] = eval(f"lambda {parameters}: {body}", self.names)
        return made


def _or_null(evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except (EvaluationError, ArithmeticError, ValueError, TypeError, LookupError):
        return None


def _is_simple(text: str) -> bool:
    """A name or `v[3]`: cheap enough to be evaluated twice."""
    return text.isidentifier() or (text[-1] == "]" and text[:-1].replace("[", "", 1).isalnum())
