"""From a syntax tree to Python: each expression of a query is compiled once and runs without walking the tree.

`Compiler(scope).compile(expression)` gives `Code`: Python text over the row `v`, with its SQL type. `function()` of
several of them makes one Python function. NULL rules, as ksqlDB has them: functions and access to parts
of NULL give NULL; a comparison with NULL is false; a text plus NULL has `null` in it; arithmetic, LIKE and conditions fail
for NULL, and with them all that is around them (COALESCE too), so that the column is NULL and WHERE false.

Source: the operators, data types and type coercion pages of the ksqlDB manual; refusals as recorded from its server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.casts import cast_function, implicit_cast
from streamguard_ksql.codegen import Code, Environment, applied, is_simple, lambda_text
from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.expressions.coercion import common_type, read_string
from streamguard_ksql.expressions.predicates import Predicates, require_boolean
from streamguard_ksql.expressions.remembered import Answers, is_worth_it, sole_column
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.functions.registry import CLOCK, CallSite, Resolved, wall_clock_ms
from streamguard_ksql.functions.resolve import INTERVAL_UNIT, ArgumentType, LambdaType, resolve
from streamguard_ksql.refusals import CodeError
from streamguard_ksql.schema import refuse_impossible
from streamguard_ksql.types import BIGINT, BOOLEAN, INTEGER, STRING, Array, Decimal, Map, SqlType, Struct, is_numeric

NESTED = 20
"""Levels of an expression whose code is within each other in one Python function."""
COMPILED_LIMIT = 300_000
"""Expressions that one compiler compiles: an operand that is used twice, in operands that are, doubles at each level."""


class Compiler(Predicates):
    """Compiles the expressions of one row type. All code made by one compiler shares one environment."""

    def __init__(
        self,
        scope: Scope,
        environment: Environment | None = None,
        *,
        owns_values: bool = False,
        merges: bool = True,
    ) -> None:
        """`owns_values`, `merges`: what functions are told of where they are called (see `CallSite`)."""
        self.scope = scope
        self._owns_values = owns_values
        self._merges = merges
        self.env = environment or Environment()
        self._lambdas: list[Mapping[str, Code]] = []
        self._bodies: dict[Any, tuple[list[str], Code]] = {}
        self._heights: list[int] = []
        """For each expression that is being compiled, how many levels of generated code its parts have."""
        self._compiled = 0
        self._remembers = False
        """Whether what is compiled is part of a condition whose answers are remembered."""

    # --- entry points -------------------------------------------------------------------------------------------------

    def compile(self, expression: ast.Expression) -> Code:
        """The Python code of an expression; KsqlError, worded as in ksqlDB, for what has no meaning."""
        visit = getattr(self, f"_visit_{type(expression).__name__.lower()}", None)
        if visit is None:
            raise KsqlError(f"Unsupported expression: {format_expression(expression)}")
        self._compiled += 1
        if self._compiled > COMPILED_LIMIT:
            raise KsqlError(
                f"The query has more than {COMPILED_LIMIT} parts where operands that are used several times are counted "
                "as often: divide it into several."
            )
        self._heights.append(0)
        try:
            code: Code = self._remembered(expression) or visit(expression)
        finally:
            height = self._heights.pop() + 1
        if height > NESTED and not code.constant:
            lenient = None if code.lenient is None else self.env.outlined("part", [f"return {code.lenient}"])
            code = replace(code, text=self.env.outlined("part", [f"return {code.text}"]), lenient=lenient)
            height = 0
        self._is_over(height)
        return code

    def _remembered(self, *conditions: ast.Expression, op: str = "AND") -> Code | None:
        """Conditions on one text column, joined by `op`, that are asked once for each of its values; None for others."""
        if (
            self._remembers
            or self._lambdas
            or not (column := sole_column(conditions[0]))
            or not is_worth_it(*conditions)
        ):
            return None
        try:
            value, sql_type = self.scope.column(column)
        except KsqlError:
            return None
        if sql_type != STRING:
            return None
        self._remembers = True
        try:
            texts = [self._boolean(condition, op) for condition in conditions]
        finally:
            self._remembers = False
        answers, name = Answers(), self.env.fresh()
        kept = f"{self.env.bind(answers.keep)}({value}, {f' {op.lower()} '.join(texts)})"
        asked = self.env.outlined("remembered", [f"return {kept}"])
        known = f"{self.env.bind(answers.get)}({value})"
        return Code(f"({name} if ({name} := {known}) is not None else {asked})", BOOLEAN, nullable=False)

    def _is_over(self, height: int) -> None:
        """Note that the expression that is being compiled has a part of so many levels."""
        if self._heights:
            self._heights[-1] = max(self._heights[-1], height)

    def type_of(self, expression: ast.Expression) -> SqlType | None:
        return self.compile(expression).type

    def function(self, expression: ast.Expression, name: str = "expression") -> Callable[[Sequence[Any]], Any]:
        """The expression as a Python function of a row."""
        return self.env.function(name, self.scope.row, self.compile(expression).column)

    # --- leaves -------------------------------------------------------------------------------------------------------

    def _visit_literal(self, literal: ast.Literal) -> Code:
        value = literal.value
        simple = value is None or isinstance(value, (bool, int, str))
        text = repr(value) if simple else self.env.bind(value)
        return Code(text, literal.type, nullable=value is None, constant=True, value=value)

    def _visit_columnref(self, ref: ast.ColumnRef) -> Code:
        if ref.source is None:
            for parameters in reversed(self._lambdas):
                if ref.name in parameters:
                    return parameters[ref.name]
        text, sql_type = self.scope.column(ref)
        return Code(text, sql_type)

    def _visit_intervalunit(self, unit: ast.IntervalUnit) -> Code:
        return Code(repr(unit.unit), None, nullable=False, constant=True, value=unit.unit)

    # --- parts of values ----------------------------------------------------------------------------------------------

    def _visit_dereference(self, node: ast.Dereference) -> Code:
        base = self.compile(node.base)
        if not isinstance(base.type, Struct):
            raise KsqlError(f"Expected STRUCT type, got: {base.type or 'null'}")
        field_type = base.type.field(node.field)
        if field_type is None:
            raise KsqlError(f"Could not find field '{node.field}' in '{format_expression(node.base)}'.")
        return Code(self.env.guarded([base], lambda b: f"{b}[{node.field!r}]"), field_type)

    def _visit_subscript(self, node: ast.Subscript) -> Code:
        base, index = self.compile(node.base), self.compile(node.index)
        if isinstance(base.type, Array):
            if index.type not in (INTEGER, BIGINT):
                raise KsqlError(f"Array index must be of type INTEGER or BIGINT, got {index.type or 'null'}")
            text = self.env.guarded([base, index], lambda b, i: self._element(b, i, index))
            return Code(text, base.type.item)
        if isinstance(base.type, Map):
            if index.type is not None and index.type != base.type.key:
                raise KsqlError(f"Map keys must be {base.type.key}, got {index.type}")
            return Code(self.env.guarded([base, index], lambda b, k: f"{b}.get({k})"), base.type.value)
        raise KsqlError(f"Subscript expression ({format_expression(node)}) do not apply to {base.type or 'null'}.")

    def _element(self, array: str, text: str, index: Code) -> str:
        """`array[index]`; without a call where the index is a literal and the array a name."""
        if not (index.constant and index.value and is_simple(array)):
            return self.env.call(array_element, array, text)
        place = index.value - 1 if index.value > 0 else index.value
        return f"({array}[{place}] if len({array}) >= {abs(index.value)} else None)"

    # --- constructors -------------------------------------------------------------------------------------------------

    def _visit_createarray(self, node: ast.CreateArray) -> Code:
        if not node.items:
            raise KsqlError(
                "Array constructor cannot be empty. Please supply at least one element "
                "(see https://github.com/confluentinc/ksql/issues/4239)."
            )
        codes, item_type = self.coerced(node.items)
        if item_type is None:
            raise KsqlError(
                "Cannot construct an array with all NULL elements (see https://github.com/confluentinc/ksql/issues/4239). "
                "As a workaround, you may cast a NULL value to the desired type."
            )
        return Code(f"[{', '.join(map(self.env.null_on_error, codes))}]", Array(item_type), nullable=False)

    def _visit_createmap(self, node: ast.CreateMap) -> Code:
        if not node.items:
            raise KsqlError(
                "Map constructor cannot be empty. Please supply at least one key value pair "
                "(see https://github.com/confluentinc/ksql/issues/4239)."
            )
        keys, key_type = self.coerced([k for k, _ in node.items])
        values, value_type = self.coerced([v for _, v in node.items])
        for what, found in (("keys", key_type), ("values", value_type)):
            if found is None:
                raise KsqlError(
                    f"Cannot construct a map with all NULL {what} (see https://github.com/confluentinc/ksql/issues/4239). "
                    "As a workaround, you may cast a NULL value to the desired type."
                )
        assert key_type is not None and value_type is not None
        element = self.env.null_on_error
        pairs = ", ".join(f"{element(k)}: {element(v)}" for k, v in zip(keys, values, strict=True))
        return Code(f"{{{pairs}}}", Map(key_type, value_type), nullable=False)

    def _visit_createstruct(self, node: ast.CreateStruct) -> Code:
        codes = [(name, self.compile(item)) for name, item in node.items]
        fields = []
        for name, code in codes:
            if code.type is None:
                raise KsqlError(f"Can't infer a type of null. Please explicitly cast field `{name}` to a required type")
            fields.append((name, code.type))
        text = "{" + ", ".join(f"{name!r}: {self.env.null_on_error(code)}" for name, code in codes) + "}"
        result = Struct(tuple(fields))
        refuse_impossible(result)
        return Code(text, result, nullable=False)

    # --- conversions --------------------------------------------------------------------------------------------------

    def _visit_cast(self, node: ast.Cast) -> Code:
        operand = self.compile(node.operand)
        try:
            cast = cast_function(operand.type, node.type, self.scope.config)
        except KsqlError as error:
            raise CodeError(error.message) from None
        if cast is None:
            return replace(operand, type=node.type, constant=False)
        return self.env.guarded_code([operand], lambda x: self.env.call(cast, x), node.type)

    def converted(self, code: Code, target: SqlType | None) -> Code:
        """The code with its value brought to `target`, where ksqlDB does that by itself."""
        if target is None or code.type is None or code.type == target:
            return code
        cast = implicit_cast(code.type, target)
        if cast is None:
            return replace(code, type=target)
        if code.constant:
            value = cast(code.value)
            return Code(self.env.bind(value), target, value is None, True, value)
        return self.env.guarded_code([code], lambda x: self.env.call(cast, x), target)

    def coerced(self, expressions: Sequence[ast.Expression]) -> tuple[list[Code], SqlType | None]:
        """Elements of a list brought to their common type (see `coercion`), and that type."""
        codes = [self.compile(e) for e in expressions]
        target = common_type(expressions, [c.type for c in codes])
        return [self._coerced(e, c, target) for e, c in zip(expressions, codes, strict=True)], target

    def _coerced(self, expression: ast.Expression, code: Code, target: SqlType | None) -> Code:
        if target is None or code.type is None or code.type == target:
            return code
        if code.constant and code.type == STRING:
            value = read_string(code.value, target)
            return Code(self.env.bind(value), target, False, True, value)
        if isinstance(expression, ast.CreateArray) and isinstance(target, Array):
            items = [self._coerced(e, self.compile(e), target.item) for e in expression.items]
            return Code(f"[{', '.join(c.text for c in items)}]", target, nullable=False)
        if isinstance(expression, ast.CreateStruct) and isinstance(target, Struct):
            given = dict(expression.items)
            parts = []
            for name, field_type in target.fields:
                item = given.get(name)
                text = "None" if item is None else self._coerced(item, self.compile(item), field_type).text
                parts.append(f"{name!r}: {text}")
            return Code("{" + ", ".join(parts) + "}", target, nullable=False)
        if target == STRING or code.type.base in ("ARRAY", "MAP", "STRUCT"):
            cast = cast_function(code.type, target, self.scope.config)
            if cast is None:
                return code
            return Code(self.env.guarded([code], lambda x: self.env.call(cast, x)), target)
        return self.converted(code, target)

    # --- calls --------------------------------------------------------------------------------------------------------

    def _visit_functioncall(self, call: ast.FunctionCall) -> Code:
        codes, resolved = self.resolve_call(call)
        if resolved.function.kind != "SCALAR":
            kind = "Aggregate" if resolved.function.kind == "AGGREGATE" else "Table"
            raise KsqlError(f"{kind} functions can not be used here: {format_expression(call)}")
        arguments = self._arguments(call, codes, resolved)
        body = self.body_of(resolved, codes)
        known = self._known_result(arguments, body, resolved)
        if known is not None:
            return known
        if resolved.variant.nulls == "pass":
            return Code(applied(self.env, body, *(a.text for a in arguments)), resolved.returns)
        code = self.env.guarded_code(arguments, lambda *a: applied(self.env, body, *a), resolved.returns)
        # What has no argument, a clock or a random number, is never NULL.
        return code if arguments else replace(code, nullable=False)

    def _known_result(self, arguments: Sequence[Code], body: Callable[..., Any], resolved: Resolved) -> Code | None:
        """The number that a function gives for literal numbers, computed once; None where it is no such call, or fails.

        It is no literal: where ksqlDB wants one, it wants it written down.
        """
        if not arguments or not is_numeric(resolved.returns):
            return None
        if not all(a.constant and is_numeric(a.type) and a.value is not None for a in arguments):
            return None
        try:
            value = body(*(a.value for a in arguments))
        except ROW_ERRORS:
            return None
        return None if value is None else Code(self.env.bind(value), resolved.returns, nullable=False)

    def resolve_call(self, call: ast.FunctionCall) -> tuple[list[Code | None], Resolved]:
        """The compiled arguments (None for lambdas) and the variant that the call means."""
        codes: list[Code | None] = []
        types: list[ArgumentType] = []
        literals: dict[int, Any] = {}
        for i, argument in enumerate(call.args):
            if isinstance(argument, ast.LambdaFunction):
                codes.append(None)
                types.append(LambdaType(len(argument.params)))
                continue
            code = self.compile(argument)
            codes.append(code)
            types.append(INTERVAL_UNIT if isinstance(argument, ast.IntervalUnit) else code.type)
            if code.constant:
                literals[i] = code.value

        def type_lambda(index: int, parameters: tuple[SqlType | None, ...]) -> SqlType | None:
            function = call.args[index]
            assert isinstance(function, ast.LambdaFunction)
            return self._lambda_body(function, parameters)[1].type

        return codes, resolve(call.name, types, literals, type_lambda)

    def body_of(self, resolved: Resolved, codes: Sequence[Code | None]) -> Callable[..., Any]:
        """The Python function of a call, bound to its call site where the function asks for that."""
        if not resolved.variant.bind:
            return resolved.variant.body
        body: Callable[..., Any] = resolved.variant.body(self.call_site(resolved, codes))
        return body

    def call_site(self, resolved: Resolved, codes: Sequence[Code | None]) -> CallSite:
        literals = {i: c.value for i, c in enumerate(codes) if c is not None and c.constant}
        types = tuple(
            p if p is not None else (c.type if c else None) for p, c in self._parameter_types(resolved, codes)
        )
        config = self.scope.config
        clock = config.get(CLOCK, wall_clock_ms)
        return CallSite(types, resolved.returns, literals, config, clock, self._owns_values, self._merges)

    @staticmethod
    def _parameter_types(resolved: Resolved, codes: Sequence[Code | None]) -> list[tuple[SqlType | None, Code | None]]:
        parameters = list(resolved.parameters)[: len(codes)]
        return list(zip(parameters, codes, strict=True))

    def _arguments(self, call: ast.FunctionCall, codes: Sequence[Code | None], resolved: Resolved) -> list[Code]:
        arguments = []
        for i, code in enumerate(codes):
            if code is not None:
                parameter = resolved.parameters[i]
                # A DECIMAL is given as it is, with the places it has.
                is_decimal = isinstance(code.type, Decimal) and isinstance(parameter, Decimal)
                arguments.append(code if is_decimal else self.converted(code, parameter))
                continue
            function = call.args[i]
            assert isinstance(function, ast.LambdaFunction)
            parameter_types, body_type = resolved.lambdas[i]
            names, body = self._lambda_body(function, parameter_types)
            body = self.converted(body, body_type)
            is_condition = body_type == BOOLEAN and resolved.function.name == "FILTER"
            decided = self.env.call(require_boolean, body.text) if is_condition and body.nullable else body.text
            arguments.append(Code(lambda_text(names, decided), None, nullable=False))
        return arguments

    def _lambda_body(self, function: ast.LambdaFunction, types: tuple[SqlType | None, ...]) -> tuple[list[str], Code]:
        """The parameters' names and the body; compiled once for the same types, or nesting would double the work."""
        around = tuple(c.text for parameters in self._lambdas for c in parameters.values())
        known = self._bodies.get((id(function), types, around))
        if known is None:
            known = self._bodies[(id(function), types, around)] = self._compile_lambda(function, types)
        self._is_over(2)
        return known

    def _compile_lambda(
        self, function: ast.LambdaFunction, types: tuple[SqlType | None, ...]
    ) -> tuple[list[str], Code]:
        names = [self.env.fresh("p") for _ in function.params]
        self._lambdas.append({p: Code(n, t) for p, n, t in zip(function.params, names, types, strict=True)})
        try:
            return names, self.compile(function.body)
        finally:
            self._lambdas.pop()


def array_element(array: list[Any], index: int) -> Any:
    """`array[index]`, from 1 forwards and from -1 backwards; NULL beyond either end and at 0."""
    if 0 < index <= len(array):
        return array[index - 1]
    if -len(array) <= index < 0:
        return array[index]
    return None
