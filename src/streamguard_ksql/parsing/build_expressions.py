"""Tree nodes of expressions and types; the method names are those of grammar.lark."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from streamguard_ksql import ast, types
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.parsing.lexer import TEXT, Token
from streamguard_ksql.refusals import accepted_before, preparing

INTERVAL_FUNCTIONS = frozenset({"DATEADD", "DATESUB", "TIMEADD", "TIMESUB", "TIMESTAMPADD", "TIMESTAMPSUB"})
INTERVAL_UNITS = ("MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS")


def plural(unit: str) -> str:
    """DAY and DAYS are the same unit."""
    return unit if unit.endswith("S") else unit + "S"


class Shared:
    """Rules whose node is nothing but their parts."""

    def absent(self) -> None:
        return None

    def only(self, node: Any) -> Any:
        return node

    def empty(self) -> tuple[Any, ...]:
        return ()

    def collect(self, *nodes: Any) -> tuple[Any, ...]:
        """The parts in a row; names as plain strings. An optional part that is missing is None, and left out."""
        return tuple(node.value if isinstance(node, Token) else node for node in nodes if node is not None)

    def yes(self) -> bool:
        return True

    def no(self) -> bool:
        return False

    def integer(self, number: Token) -> int:
        return int(number.value)

    def name_or_text(self, name: Token) -> str:
        """A name that is not SQL's (a topic, a subject): the case is kept even without quotes."""
        return name.value if name.type == TEXT or name.text[0] in '`"' else name.text


class ExpressionBuilder(Shared):
    # --- literals ---

    def null(self, token: Token) -> ast.Expression:
        return ast.Literal(None, None, location=token.location)

    def true(self, token: Token) -> ast.Expression:
        return ast.Literal(True, types.BOOLEAN, location=token.location)

    def false(self, token: Token) -> ast.Expression:
        return ast.Literal(False, types.BOOLEAN, location=token.location)

    def string(self, token: Token) -> ast.Expression:
        return ast.Literal(token.value, types.STRING, location=token.location)

    def integer_literal(self, token: Token) -> ast.Expression:
        return _integer(int(token.value), token.location)

    def decimal_literal(self, token: Token) -> ast.Expression:
        return _decimal(Decimal(token.value), token.location)

    def double_literal(self, token: Token) -> ast.Expression:
        return ast.Literal(float(token.value), types.DOUBLE, location=token.location)

    # --- operators ---

    def logical_or(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Logical("OR", left, right, location=left.location)

    def logical_and(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Logical("AND", left, right, location=left.location)

    def logical_not(self, operand: ast.Expression) -> ast.Expression:
        return ast.Not(operand, location=operand.location)

    def comparison(self, operator: Token) -> str:
        return operator.value

    def compare(self, left: ast.Expression, op: str, right: ast.Expression) -> ast.Expression:
        return ast.Comparison(op, left, right, location=left.location)

    def is_distinct(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Comparison("IS DISTINCT FROM", left, right, location=left.location)

    def is_not_distinct(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Comparison("IS NOT DISTINCT FROM", left, right, location=left.location)

    def is_null(self, operand: ast.Expression) -> ast.Expression:
        return ast.IsNull(operand, location=operand.location)

    def is_not_null(self, operand: ast.Expression) -> ast.Expression:
        return ast.IsNull(operand, negated=True, location=operand.location)

    def between(self, operand: ast.Expression, low: ast.Expression, high: ast.Expression) -> ast.Expression:
        return ast.Between(operand, low, high, location=operand.location)

    def not_between(self, operand: ast.Expression, low: ast.Expression, high: ast.Expression) -> ast.Expression:
        return self.logical_not(self.between(operand, low, high))

    def in_list(self, operand: ast.Expression, *items: ast.Expression) -> ast.Expression:
        return ast.InList(operand, items, location=operand.location)

    def not_in_list(self, operand: ast.Expression, *items: ast.Expression) -> ast.Expression:
        return self.logical_not(self.in_list(operand, *items))

    def like(self, operand: ast.Expression, pattern: ast.Expression, escape: Token | None) -> ast.Expression:
        return ast.Like(operand, pattern, escape.value if escape else None, location=operand.location)

    def not_like(self, operand: ast.Expression, pattern: ast.Expression, escape: Token | None) -> ast.Expression:
        return self.logical_not(self.like(operand, pattern, escape))

    def add(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Arithmetic("+", left, right, location=left.location)

    def concatenate(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        """In ksqlDB of literals alone; + is the same of columns too."""
        if not (isinstance(left, ast.Literal) and isinstance(right, ast.Literal)) and not accepted_before.get():
            raise preparing("not yet implemented")
        return self.add(left, right)

    def subtract(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Arithmetic("-", left, right, location=left.location)

    def multiply(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Arithmetic("*", left, right, location=left.location)

    def divide(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Arithmetic("/", left, right, location=left.location)

    def modulo(self, left: ast.Expression, right: ast.Expression) -> ast.Expression:
        return ast.Arithmetic("%", left, right, location=left.location)

    def minus(self, operand: ast.Expression) -> ast.Expression:
        if isinstance(operand, ast.Literal) and types.is_numeric(operand.type):
            if isinstance(operand.value, int):
                return _integer(-operand.value, operand.location)
            return ast.Literal(-operand.value, operand.type, location=operand.location)
        return ast.Negation("-", operand, location=operand.location)

    def plus(self, operand: ast.Expression) -> ast.Expression:
        if isinstance(operand, ast.Literal) and types.is_numeric(operand.type):
            return operand
        return ast.Negation("+", operand, location=operand.location)

    # --- names, calls, access ---

    def column(self, name: Token) -> ast.Expression:
        return ast.ColumnRef(name.value, location=name.location)

    def qualified_column(self, source: Token, name: Token) -> ast.Expression:
        return ast.ColumnRef(name.value, source.value, location=source.location)

    def call(self, name: Token, *arguments: ast.Expression | None) -> ast.Expression:
        args = tuple(argument for argument in arguments if argument is not None)
        function = name.value.upper()
        if args and function in INTERVAL_FUNCTIONS:
            args = (_as_unit(args[0]), *args[1:])
        return ast.FunctionCall(function, args, location=name.location)

    def call_all(self, name: Token) -> ast.Expression:
        return ast.FunctionCall(name.value.upper(), (), location=name.location)

    def unit_argument(self, unit: Token) -> ast.Expression:
        return ast.IntervalUnit(plural(unit.value), location=unit.location)

    def lambda_one(self, parameter: Token, body: ast.Expression) -> ast.Expression:
        return ast.LambdaFunction((parameter.value,), body, location=parameter.location)

    def lambda_many(self, opening: Token, parameters: tuple[str, ...], body: ast.Expression) -> ast.Expression:
        if len(set(parameters)) < len(parameters) and not accepted_before.get():
            raise preparing(f"Lambda arguments have duplicates: [{', '.join(parameters)}]")
        return ast.LambdaFunction(parameters, body, location=opening.location)

    def subscript(self, base: ast.Expression, index: ast.Expression) -> ast.Expression:
        return ast.Subscript(base, index, location=base.location)

    def dereference(self, base: ast.Expression, field: Token) -> ast.Expression:
        return ast.Dereference(base, field.value, location=base.location)

    def cast(self, token: Token, operand: ast.Expression, target: types.SqlType) -> ast.Expression:
        return ast.Cast(operand, target, location=token.location)

    # --- CASE and constructors ---

    def when(self, condition: ast.Expression, result: ast.Expression) -> ast.WhenClause:
        return ast.WhenClause(condition, result)

    def searched_case(self, token: Token, *parts: Any) -> ast.Expression:
        return ast.Case(None, parts[:-1], parts[-1], location=token.location)

    def simple_case(self, token: Token, operand: ast.Expression, *parts: Any) -> ast.Expression:
        return ast.Case(operand, parts[:-1], parts[-1], location=token.location)

    def create_array(self, token: Token, *items: ast.Expression | None) -> ast.Expression:
        return ast.CreateArray(self.collect(*items), location=token.location)

    def create_map(self, token: Token, *entries: tuple[ast.Expression, ast.Expression] | None) -> ast.Expression:
        return ast.CreateMap(self.collect(*entries), location=token.location)

    def create_struct(self, token: Token, *entries: tuple[str, ast.Expression] | None) -> ast.Expression:
        return ast.CreateStruct(self.collect(*entries), location=token.location)

    def struct_entry(self, name: Token, value: ast.Expression) -> tuple[str, ast.Expression]:
        return name.value, value

    # --- types ---

    def named_type(self, name: Token, *parameters: Token) -> types.SqlType:
        if name.value == "DECIMAL":
            return _decimal_type(name, parameters)
        return types.PRIMITIVES.get(name.value) or types.Named(name.value)

    def array_type(self, item: types.SqlType) -> types.SqlType:
        return types.Array(item)

    def map_type(self, key: types.SqlType, value: types.SqlType) -> types.SqlType:
        return types.Map(key, value)

    def struct_type(self, *fields: tuple[str, types.SqlType] | None) -> types.SqlType:
        return types.Struct(self.collect(*fields))

    def struct_field(self, name: Token, field: types.SqlType) -> tuple[str, types.SqlType]:
        return name.value, field


def _integer(value: int, location: ast.Location | None) -> ast.Literal:
    small = types.INT_MIN <= value <= types.INT_MAX
    return ast.Literal(value, types.INTEGER if small else types.BIGINT, location=location)


def _decimal(value: Decimal, location: ast.Location | None) -> ast.Literal:
    """`1.5` is a DECIMAL(2, 1); `.05` has two places, so it needs two digits."""
    _, digits, exponent = value.as_tuple()
    scale = -int(exponent)
    precision = max(len(digits), scale, 1)
    return ast.Literal(value, types.Decimal(precision, scale), location=location)


def _decimal_type(name: Token, parameters: tuple[Token, ...]) -> types.SqlType:
    if len(parameters) != 2 or any(parameter.type != "INTEGER_VALUE" for parameter in parameters):
        at = name.location
        raise SqlSyntaxError(f"line {at.line}:{at.column}: Syntax Error\nDECIMAL must be DECIMAL(precision, scale)")
    return types.Decimal(int(parameters[0].value), int(parameters[1].value))


def _as_unit(argument: ast.Expression) -> ast.Expression:
    """`DAY` or `DAYS` where DATEADD and its like take a unit; anything else stays what it is."""
    if isinstance(argument, ast.ColumnRef) and argument.source is None and plural(argument.name) in INTERVAL_UNITS:
        return ast.IntervalUnit(plural(argument.name), location=argument.location)
    return argument
