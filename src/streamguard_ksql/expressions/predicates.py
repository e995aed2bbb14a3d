"""The part of the compiler that deals with operators: arithmetic, comparison, logic, CASE, IN, BETWEEN, LIKE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from streamguard_ksql import ast, refusals
from streamguard_ksql.codegen import Code, Environment, is_simple
from streamguard_ksql.datetimes import DAY_MS
from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.expressions.like import like, like_matcher
from streamguard_ksql.expressions.numbers import (
    decimal_operation,
    exact,
    integer_operation,
    result_type,
)
from streamguard_ksql.expressions.remembered import sole_column
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.java import divide_doubles, remainder, remainder_doubles, wrap_int, wrap_long
from streamguard_ksql.ordering import signed
from streamguard_ksql.refusals import CodeError
from streamguard_ksql.schema import quoted_type
from streamguard_ksql.text import type_text
from streamguard_ksql.types import (
    BIGINT,
    BIGINT_MAX,
    BIGINT_MIN,
    BOOLEAN,
    BYTES,
    DOUBLE,
    INT_MAX,
    INT_MIN,
    INTEGER,
    STRING,
    TIMESTAMP,
    Decimal,
    SqlType,
    is_numeric,
)

COMPARISON_NAMES = {
    "=": "EQUAL",
    "<>": "NOT_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "IS DISTINCT FROM": "IS_DISTINCT_FROM",
    "IS NOT DISTINCT FROM": "IS_NOT_DISTINCT_FROM",
}
PYTHON_COMPARISON = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
EXACT_DIGITS = 28
"""Up to here Python's own operators on decimals are exact: the precision of its default context."""
_SIGNS = {"-": "Negation", "+": "Unary plus"}
CHAIN = 10
"""Longer chains, and CASEs of more conditions, become statements."""
EQUALITIES = ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
TEMPORAL = ("DATE", "TIME", "TIMESTAMP")


class Predicates:
    """Mixed into the Compiler, which supplies `env`, `compile`, `converted` and `coerced`."""

    env: Environment

    if TYPE_CHECKING:

        def compile(self, expression: ast.Expression) -> Code: ...
        def _is_over(self, height: int) -> None: ...
        def _remembered(self, *conditions: ast.Expression, op: str = "AND") -> Code | None: ...
        def converted(self, code: Code, target: SqlType | None) -> Code: ...
        def coerced(self, expressions: Sequence[ast.Expression]) -> tuple[list[Code], SqlType | None]: ...

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def _visit_arithmetic(self, node: ast.Arithmetic) -> Code:
        """A short chain is one expression, a long one statements that go on with the value so far."""
        *others, first = ast.spine(node, ast.Arithmetic)
        code = self._arithmetic(first, self.compile(first.left))
        if len(others) < CHAIN:
            for level, link in enumerate(reversed(others), start=2):
                code = self._arithmetic(link, code)
                self._is_over(level)
            return code
        name = self.env.fresh("x")
        statements, lenient = [], []
        for link in reversed(others):
            statements.append(f"{name} = {code.text}")
            lenient.append(f"{name} = {code.column}")
            code = self._arithmetic(link, replace(code, text=name, lenient=None if code.lenient is None else name))
        text = self.env.outlined("chain", [*statements, f"return {code.text}"])
        if code.lenient is None:
            return replace(code, text=text)
        return replace(code, text=text, lenient=self.env.outlined("chain", [*lenient, f"return {code.lenient}"]))

    def _arithmetic(self, node: ast.Arithmetic, left: Code) -> Code:
        """One operation, with the code of its left side."""
        right = self.compile(node.right)
        try:
            result = result_type(node.op, left.type, right.type)
        except KsqlError:
            types = " ".join(type_text(code.type) for code in (left, right))
            raise refusals.arithmetic(format_expression(node), types) from None
        if result == STRING:
            return Code(f"({self._text_of(left)} + {self._text_of(right)})", STRING, nullable=False)
        operation = self._operation(node.op, result, right)
        if result == DOUBLE:
            left, right = self.converted(left, DOUBLE), self.converted(right, DOUBLE)
        return self.env.guarded_code([left, right], operation, result, strict=True)

    def _text_of(self, code: Code) -> str:
        """An operand of a concatenation: NULL is the text `null`, as it is for Java's `+`."""
        return self.env.guarded([code], lambda text: text, otherwise="'null'")

    def _operation(self, op: str, result: SqlType, right: Code) -> Callable[[str, str], str]:
        if op == "%" and result in (INTEGER, BIGINT) and right.constant and right.value > 0:
            return self._remainder
        if op in "+-*" and (result == DOUBLE or (isinstance(result, Decimal) and result.precision < EXACT_DIGITS)):
            return lambda a, b: f"({a} {op} {b})"
        if op in "+-" and result in (INTEGER, BIGINT):
            added = None
            if right.constant and right.value is not None:
                added = right.value if op == "+" else -right.value
            return lambda a, b: self._wrapping(f"{a} {op} {b}", result, added)
        if result == DOUBLE:
            function: Callable[..., Any] = divide_doubles if op == "/" else remainder_doubles
        elif isinstance(result, Decimal):
            function = decimal_operation(op, result)
        else:
            function = integer_operation(op, result)
        return lambda a, b: self.env.call(function, a, b)

    def _wrapping(self, text: str, result: SqlType, added: int | None) -> str:
        """A sum or difference of integers: a call only for one that is out of range, on the one side where it can be if it
        is known what is `added`."""
        least, most, wrap = (INT_MIN, INT_MAX, wrap_int) if result == INTEGER else (BIGINT_MIN, BIGINT_MAX, wrap_long)
        name = self.env.fresh()
        found = f"({name} := {text})"
        if added is None:
            is_in_range = f"{least} <= {found} <= {most}"
        else:
            is_in_range = f"{found} <= {most}" if added >= 0 else f"{found} >= {least}"
        return f"({name} if {is_in_range} else {self.env.call(wrap, name)})"

    def _remainder(self, a: str, b: str) -> str:
        """By a positive number: as Java has it, with the sign of the left side."""
        if not a.isidentifier():
            return self.env.call(remainder, a, b)
        return f"({a} % {b} if {a} >= 0 else -(-{a} % {b}))"

    def _visit_negation(self, node: ast.Negation) -> Code:
        operand = self.compile(node.operand)
        if not is_numeric(operand.type):
            raise CodeError(f"{_SIGNS[node.sign]} on type: {operand.type or 'null'}")
        if isinstance(operand.type, Decimal) and node.sign == "-":
            # Python's minus sign rounds to the 28 digits of its default context.
            return self.env.guarded_code([operand], lambda x: f"{x}.copy_negate()", operand.type, strict=True)
        wrap = {"INTEGER": wrap_int, "BIGINT": wrap_long}.get(operand.type.base) if operand.type else None
        if wrap is None or node.sign != "-" or operand.constant:
            return self.env.guarded_code([operand], lambda x: f"({node.sign}{x})", operand.type, strict=True)
        return self.env.guarded_code([operand], lambda x: self.env.call(wrap, f"-{x}"), operand.type, strict=True)

    # --- comparison ---------------------------------------------------------------------------------------------------

    def _visit_comparison(self, node: ast.Comparison) -> Code:
        left, right = self.compile(node.left), self.compile(node.right)
        if left.is_null or right.is_null:
            sides = ["NULL" if c.is_null else format_expression(e) for c, e in ((left, node.left), (right, node.right))]
            raise KsqlError(f"Comparison with NULL not supported: {sides[0]} {node.op} {sides[1]}")
        left, right = self._comparable(node, left, right)
        if node.op in PYTHON_COMPARISON:
            op = PYTHON_COMPARISON[node.op]
            text = self.env.guarded([left, right], lambda a, b: f"({a} {op} {b})", otherwise="False")
        else:
            op = "!=" if node.op == "IS DISTINCT FROM" else "=="
            text = f"({left.text} {op} {right.text})"
        return Code(text, BOOLEAN, nullable=False)

    def _comparable(self, node: ast.Comparison, left: Code, right: Code) -> tuple[Code, Code]:
        """Both sides in a form that Python compares as ksqlDB does; KsqlError for types that do not compare."""
        assert left.type is not None and right.type is not None
        a, b = left.type.base, right.type.base
        if is_numeric(left.type) and is_numeric(right.type):
            return self._comparable_numbers(left, right)
        if a in TEMPORAL and b in (STRING.base, *TEMPORAL):
            return (left, right) if a == b else self._comparable_times(left, right)
        if b in TEMPORAL and a == STRING.base:
            return self._temporal(left, right.type), right
        same = left.type == right.type
        ordered = a in ("STRING", "BYTES") or a in TEMPORAL
        if same and a == "BYTES" and node.op not in EQUALITIES:
            return self._signed(left), self._signed(right)
        if same and (ordered or node.op in EQUALITIES):
            return left, right
        raise KsqlError(
            f"Cannot compare {format_expression(node.left)} ({quoted_type(left.type)}) to "
            f"{format_expression(node.right)} ({quoted_type(right.type)}) with {COMPARISON_NAMES[node.op]}."
        )

    def _comparable_times(self, left: Code, right: Code) -> tuple[Code, Code]:
        assert left.type is not None and right.type is not None
        if right.type == STRING:
            return left, self._temporal(right, left.type)
        if left.type.base == "TIMESTAMP" and right.type.base == "DATE":
            return left, self._as_timestamp(right)
        if left.type.base == "DATE" and right.type.base == "TIMESTAMP":
            return self._as_timestamp(left), right
        raise KsqlError(f"Cannot compare {left.type} to {right.type}.")

    def _signed(self, code: Code) -> Code:
        """Bytes that Python orders as Java does."""
        return Code(self.env.guarded([code], lambda value: self.env.call(signed, value)), code.type, code.nullable)

    def _as_timestamp(self, date: Code) -> Code:
        return Code(self.env.guarded([date], lambda d: f"({d} * {DAY_MS})"), TIMESTAMP)

    def _temporal(self, code: Code, target: SqlType) -> Code:
        """A string as a point in time, read once if it is a literal."""
        try:
            return self.converted(code, target)
        except EvaluationError as error:
            # ksqlDB reads the text in each row: the condition fails there.
            return Code(self.env.call(unreadable(str(error))), target)

    def _comparable_numbers(self, left: Code, right: Code) -> tuple[Code, Code]:
        """DECIMAL against DOUBLE is compared by the double's text; a short literal is turned into a double instead.

        A whole number that one of them is compared with is made one beforehand: Python compares two of a kind faster.
        """
        left, right = self._of_a_kind(left, right), self._of_a_kind(right, left)
        if not (isinstance(left.type, Decimal) and right.type == DOUBLE) and not (
            left.type == DOUBLE and isinstance(right.type, Decimal)
        ):
            return left, right
        for double, literal in ((left, right), (right, left)):
            if double.type == DOUBLE and literal.constant and exact(float(literal.value)) == literal.value:
                short = self.converted(literal, DOUBLE)
                return (left, short) if literal is right else (short, right)
        return self._exact(left), self._exact(right)

    def _of_a_kind(self, code: Code, other: Code) -> Code:
        """A literal whole number as DECIMAL or DOUBLE, where the other is one and nothing is lost."""
        if not (code.constant and type(code.value) is int):
            return code
        if isinstance(other.type, Decimal):
            return replace(code, text=self.env.bind(exact(code.value)))
        return replace(code, text=repr(float(code.value))) if other.type == DOUBLE and abs(code.value) < 2**53 else code

    def _exact(self, code: Code) -> Code:
        if code.type != DOUBLE:
            return code
        return Code(self.env.guarded([code], lambda x: self.env.call(exact, x)), code.type, code.nullable)

    # --- logic --------------------------------------------------------------------------------------------------------

    def _boolean(self, expression: ast.Expression, what: str) -> str:
        code = self.compile(expression)
        if code.type != BOOLEAN:
            raise CodeError(f"{what} needs BOOLEAN operands, got {code.type or 'null'}")
        return self.env.call(require_boolean, code.text) if code.nullable else code.text

    def _visit_logical(self, node: ast.Logical) -> Code:
        texts = []
        # Neighbours that one text column decides are remembered together; all of them keep their order.
        for _, neighbours in groupby(ast.operands(node, node.op), key=sole_column):
            operands = list(neighbours)
            together = self._remembered(*operands, op=node.op) if len(operands) > 1 else None
            texts += [together.text] if together else [self._boolean(operand, node.op) for operand in operands]
        return Code(f"({f' {node.op.lower()} '.join(texts)})", BOOLEAN, nullable=False)

    def _visit_not(self, node: ast.Not) -> Code:
        return Code(f"(not {self._boolean(node.operand, 'NOT')})", BOOLEAN, nullable=False)

    def _visit_isnull(self, node: ast.IsNull) -> Code:
        operand = self.compile(node.operand)
        if operand.constant:
            return Code(repr(operand.is_null is not node.negated), BOOLEAN, nullable=False)
        # Of a name, since Python warns where what is compared is a text of its own, as NULL + NULL is.
        text = operand.text if is_simple(operand.text) else f"({self.env.fresh()} := {operand.text})"
        return Code(f"({text} is {'not ' if node.negated else ''}None)", BOOLEAN, nullable=False)

    def _visit_between(self, node: ast.Between) -> Code:
        """Both comparisons; the operand is evaluated once where its type is the same for both."""
        low = ast.Comparison(">=", node.operand, node.low)
        high = ast.Comparison("<=", node.operand, node.high)
        codes = [self.compile(part) for part in (node.operand, node.low, node.high)]
        types = {code.type for code in codes}
        if any(code.is_null for code in codes) or not (len(types) == 1 or types <= {INTEGER, BIGINT, DOUBLE}):
            try:
                return self.compile(ast.Logical("AND", low, high))
            except KsqlError as error:
                raise CodeError(error.message) from None
        self._in_code(low, codes[0], codes[1])
        if types == {BYTES}:
            codes = [self._signed(code) for code in codes]
        codes[1:] = [self._of_a_kind(code, codes[0]) for code in codes[1:]]
        text = self.env.guarded(codes, lambda x, a, b: f"({a} <= {x} <= {b})", otherwise="False")
        return Code(text, BOOLEAN, nullable=False)

    def _in_code(self, node: ast.Comparison, left: Code, right: Code) -> None:
        """Refuse what does not compare, where ksqlDB finds it when it generates code."""
        try:
            self._comparable(node, left, right)
        except KsqlError as error:
            raise CodeError(error.message) from None

    def _visit_inlist(self, node: ast.InList) -> Code:
        try:
            codes, _ = self.coerced([node.operand, *node.items])
        except KsqlError as error:
            raise CodeError(error.message) from None
        operand, items = codes[0], [c for c in codes[1:] if not c.is_null]
        if not items:
            return Code("False", BOOLEAN, nullable=False)
        if (
            all(c.constant for c in items)
            and operand.type is not None
            and operand.type.base not in ("ARRAY", "MAP", "STRUCT")
        ):
            values = self.env.bind(frozenset(c.value for c in items))
            text = self.env.guarded([operand], lambda x: f"({x} in {values})", otherwise="False")
        else:
            listed = ", ".join(c.text for c in items)
            text = self.env.guarded([operand], lambda x: f"({x} in ({listed},))", otherwise="False")
        return Code(text, BOOLEAN, nullable=False)

    def _visit_like(self, node: ast.Like) -> Code:
        operand, pattern = self.compile(node.operand), self.compile(node.pattern)
        if operand.type != STRING or pattern.type != STRING:
            raise CodeError(f"LIKE needs STRING operands, got {operand.type or 'null'} and {pattern.type or 'null'}")
        if node.escape is not None and len(node.escape) != 1:
            raise KsqlError(f"Expected exactly 1 character for escape but got: {node.escape}")
        missing = self.env.call(null_text)
        if pattern.constant and pattern.value is not None:
            match = like_matcher(pattern.value, node.escape)
            text = self.env.guarded([operand], lambda x: self.env.call(match, x), otherwise=missing)
        else:
            escape = repr(node.escape)
            text = self.env.guarded(
                [operand, pattern], lambda x, p: self.env.call(like, x, p, escape), otherwise=missing
            )
        return Code(text, BOOLEAN, nullable=False)

    # --- CASE ---------------------------------------------------------------------------------------------------------

    def _visit_case(self, node: ast.Case) -> Code:
        results = [w.result for w in node.whens] + ([node.default] if node.default else [])
        codes = [self.compile(r) for r in results]
        types = [c.type for c in codes if c.type is not None]
        if not types:
            raise KsqlError("Invalid Case expression. All case branches have NULL type")
        results_types = [c.type for c in codes[: len(node.whens)] if c.type is not None]
        default = codes[-1].type if node.default else None
        if default is not None and results_types and {default} != set(results_types) and len(set(results_types)) == 1:
            raise KsqlError(
                "Invalid Case expression. Type for the default clause should be the same as for 'THEN' clauses.\n"
                f"THEN type: {quoted_type(results_types[0])}.\nDEFAULT type: {quoted_type(default)}."
            )
        if any(t != types[0] for t in types):
            listed = ", ".join(str(t) for t in types)
            raise KsqlError(f"Invalid Case expression. Type for all 'THEN' clauses should be the same. Got: {listed}")
        text = codes[len(node.whens)].text if node.default else "None"
        if len(node.whens) > CHAIN:
            tests = [
                f"if {self._when(node, when)}: return {c.text}" for when, c in zip(node.whens, codes, strict=False)
            ]
            return Code(self.env.outlined("case", [*tests, f"return {text}"]), types[0])
        self._is_over(len(node.whens))
        for when, code in reversed(list(zip(node.whens, codes, strict=False))):
            text = f"({code.text} if {self._when(node, when)} else {text})"
        return Code(text, types[0])

    def _when(self, node: ast.Case, when: ast.WhenClause) -> str:
        if node.operand is not None:
            return self.compile(ast.Comparison("=", node.operand, when.condition)).text
        condition = self.compile(when.condition)
        if condition.type != BOOLEAN:
            shown = format_expression(when.condition)
            raise KsqlError(f"WHEN operand type should be boolean. Type for '{shown}' is {condition.type or 'null'}")
        return self.env.call(require_boolean, condition.text) if condition.nullable else condition.text


def require_boolean(value: Any) -> bool:
    """A condition of AND, OR, NOT and WHEN: a NULL there is an error of the row, as on the JVM."""
    if value is None:
        raise EvaluationError("NULL where a boolean is needed")
    return bool(value)


def unreadable(reason: str) -> Callable[[], Any]:
    """In place of a text that is no time: an error of each row."""

    def fail() -> Any:
        raise EvaluationError(reason)

    return fail


def null_text() -> None:
    """In place of a LIKE one of whose sides is NULL: an error of the row, as on the JVM."""
    raise EvaluationError("NULL where LIKE needs a text")
