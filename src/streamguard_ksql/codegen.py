"""The one place where Python is generated: expressions, rows, aggregates and readers of formats become functions here.

Expressions are built as `Code`, texts with the SQL type of their value. An `Environment` has the objects that the texts
refer to and turns texts into functions: `function` for one expression, `define` for statements. Each function has a
readable name, and its source is in `linecache`, so that a traceback shows the generated line.
"""

from __future__ import annotations

import linecache
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from types import CodeType
from typing import Any

from streamguard_ksql.errors import ROW_ERRORS, EvaluationError
from streamguard_ksql.types import SqlType


@dataclass(frozen=True)
class Code:
    """An expression in Python. `type` is None for an untyped NULL. `constant` marks literals; their value is `value`.

    `text` raises where ksqlDB's expression fails, also for an operand that is NULL: what is around it fails too then.
    `lenient` is the same with None in place of failing for NULL: for the top of a column, which is NULL either way.
    """

    text: str
    type: SqlType | None
    nullable: bool = True
    constant: bool = False
    value: Any = None
    lenient: str | None = None

    @property
    def column(self) -> str:
        """The text where nothing is around the expression."""
        return self.text if self.lenient is None else self.lenient

    @property
    def is_null(self) -> bool:
        return self.constant and self.value is None


class Environment:
    """The names that generated code refers to, fresh names for its temporaries, and the functions made of it."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}
        self._known: dict[int, str] = {}
        self._fresh = count()

    # --- names --------------------------------------------------------------------------------------------------------

    def bind(self, value: Any, prefix: str = "k") -> str:
        """A name for a Python object; the same object gets the same name."""
        name = self._known.get(id(value))
        if name is None:
            name = self.fresh(prefix)
            self._names[name] = value
            self._known[id(value)] = name
        return name

    def fresh(self, prefix: str = "t") -> str:
        return f"{prefix}{next(self._fresh)}"

    # --- expressions --------------------------------------------------------------------------------------------------

    def call(self, function: Callable[..., Any], *arguments: str) -> str:
        """A call of a Python function, under a name that begins with its own."""
        name = getattr(function, "__name__", "")
        return f"{self.bind(function, f'{name}_' if name.isidentifier() else 'f')}({', '.join(arguments)})"

    def guarded(
        self, operands: Sequence[Code], result: Callable[..., str], otherwise: str = "None", *, strict: bool = False
    ) -> str:
        """`result(texts)`, or `otherwise` where one of the operands is NULL; each operand is evaluated once.

        All that are computed are evaluated first, also where another is NULL: one may fail, and then so does all of it.
        With `strict`, `otherwise` fails too.
        """
        tested = [o for o in operands if o.nullable and not (o.constant and not o.is_null)]
        computed, simple, texts = [], [], []
        for operand in operands:
            # A lambda has no type, and stays where it is called.
            is_first = operand in tested or (tested and not strict and operand.type is not None)
            if operand.constant or is_simple(operand.text) or not is_first:
                texts.append(operand.text)
                if operand in tested and operand.text != "None":
                    simple.append(f"{operand.text} is None")
            else:
                texts.append(self.fresh())
                computed.append(f"({texts[-1]} := {operand.text}) is None")
        if "None" in texts:
            return f"({otherwise} if ({', '.join(computed)},) else None)" if computed else otherwise
        together = [" | ".join(f"({test})" for test in computed)] if len(computed) > 1 else computed
        tests = [*together, *simple]
        body = result(*texts)
        return f"({otherwise} if {' or '.join(tests)} else {body})" if tests else body

    def guarded_code(
        self, operands: Sequence[Code], result: Callable[..., str], sql_type: SqlType | None, *, strict: bool = False
    ) -> Code:
        """`guarded` as Code. `strict`: an operand that is NULL is an error, as it is for Java's arithmetic."""
        text = self.guarded(operands, result, self.call(null_operand) if strict else "None", strict=strict)
        if not strict and all(o.lenient is None for o in operands):
            return Code(text, sql_type)
        lenient = self.guarded([o if o.lenient is None else Code(o.lenient, o.type) for o in operands], result)
        return Code(text, sql_type, nullable=not strict, lenient=lenient)

    def null_on_error(self, code: Code) -> str:
        """The code's text, with NULL where its evaluation fails: an element that fails does not fail its array."""
        if code.constant or is_simple(code.text):
            return code.text
        return self.call(_null_on_error, f"lambda: {code.text}")

    # --- parts of large expressions -----------------------------------------------------------------------------------

    def outlined(self, name: str, statements: Sequence[str]) -> str:
        """A call of a new function of statements that read, besides its own names, those where the call is.

        Python compiles no more than 200 parentheses within each other: what is nested deeper becomes such functions.
        """
        parameters = ", ".join(self._names_around(statements))
        return f"{self.bind(self.define(name, parameters, statements), f'{name}_')}({parameters})"

    def _names_around(self, statements: Sequence[str]) -> list[str]:
        """The parameters of rows and lambdas (`v`, `p12`) that statements read."""
        source = "def part():\n" + "".join(f"    {statement}\n" for statement in statements)
        left: list[Any] = [compile(source, "<part>", "exec")]
        found: set[str] = set()
        while left:
            code = left.pop()
            found.update(name for name in code.co_names if _PARAMETER.fullmatch(name) and name not in self._names)
            left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        return sorted(found)

    # --- functions ----------------------------------------------------------------------------------------------------

    def function(self, name: str, parameters: str, result: str) -> Callable[..., Any]:
        """A Python function of one expression."""
        return self.define(name, parameters, [f"return {result}"])

    def define(self, name: str, parameters: str, statements: Sequence[str]) -> Callable[..., Any]:
        """A Python function of statements, a line each (indented where they are nested)."""
        body = "".join(f"    {statement}\n" for statement in statements)
        source = f"def {name}({parameters}):\n{body}"
        path = f"<generated {next(_numbers)}: {name}>"
        defined: dict[str, Any] = {}
        exec(compile(source, path, "exec"), self._names, defined)
        function: Callable[..., Any] = defined[name]
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        weakref.finalize(function, linecache.cache.pop, path, None)
        return function


_PARAMETER = re.compile(r"[a-z]\d*")
_numbers = count(1)
"""Of all generated functions of the process: a traceback's file name is that of one function."""


def list_of(texts: Sequence[str]) -> str:
    """A list display with a line for each element, so that a traceback points at the element."""
    return "[" + "".join(f"\n        {text}," for text in texts) + "\n    ]"


def null_operand() -> None:
    """In place of an operation one of whose operands is NULL."""
    raise EvaluationError("NULL where a number is needed")


def _null_on_error(evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except ROW_ERRORS:
        return None


def is_simple(text: str) -> bool:
    """A name or `v[3]`: cheap enough to be evaluated twice."""
    return text.isidentifier() or (text[-1] == "]" and text[:-1].replace("[", "", 1).isalnum())


class Expression:
    """A method that is one expression: it can be called, and generated code has its text in place of a call.

    `Expression("{state} + {value}", "state", "value")` is a function of two parameters. A call costs more than what most
    such methods do. `objects` are what the template refers to besides, by name.
    """

    def __init__(self, template: str, *parameters: str, **objects: Any) -> None:
        self._template = template
        self._parameters = parameters
        self._objects = objects
        env = Environment()
        self._function = env.function("expression", ", ".join(parameters), self.text(env, *parameters))

    def text(self, env: Environment, *arguments: str) -> str:
        """The expression over these texts, which may occur in it several times."""
        names = {name: env.bind(value, f"{name}_") for name, value in self._objects.items()}
        return f"({self._template.format(**dict(zip(self._parameters, arguments, strict=True)), **names)})"

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class Comprehension:
    """A function of an array and of a function of its elements that generated code has as a list comprehension.

    `template` has {item}, the name of an element, {result}, what the function gives for it, and {array}.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        env = Environment()
        text = self._template.format(item="x", result="f(x)", array="array")
        self._function = env.function("comprehension", "array, f", text)

    def text(self, env: Environment, array: str, function: str) -> str:
        """The comprehension; a call where the array is an expression that may not be in one."""
        item, result = lambda_parts(function)
        if ":=" in array:
            return env.call(self._function, array, function)
        return self._template.format(item=item, result=result, array=array)

    def __call__(self, array: list[Any], function: Callable[[Any], Any]) -> Any:
        return self._function(array, function)


def lambda_text(names: Sequence[str], body: str) -> str:
    """The text of a lambda."""
    return f"(lambda {', '.join(names)}: {body})"


def lambda_parts(text: str) -> tuple[str, str]:
    """The parameters and the body of a `lambda_text`."""
    names, _, body = text.removeprefix("(lambda ").removesuffix(")").partition(": ")
    return names, body


def applied(env: Environment, function: Callable[..., Any], *arguments: str) -> str:
    """The text of `function(*arguments)`: of an `Expression` or `Comprehension` its text, of anything else a call."""
    return (
        function.text(env, *arguments)
        if isinstance(function, Expression | Comprehension)
        else env.call(function, *arguments)
    )
