"""Small functions as text, to be put into generated code instead of a call: a call costs more than what most of them do."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def inlined(method: Callable[..., Any], *arguments: str) -> str | None:
    """The text of `method(*arguments)` without the call, for a bound method that is one `return` over its parameters.

    None where it is more than that (statements, other names, `self`) or where its source is not to be had. The arguments
    are texts that may stand there several times.
    """
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(method))).body
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    if not isinstance(definition, ast.FunctionDef) or definition.decorator_list:
        return None
    statements = [s for s in definition.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    parameters = [a.arg for a in definition.args.args][1:]
    if len(statements) != 1 or not isinstance(statements[0], ast.Return) or len(parameters) != len(arguments):
        return None
    body = statements[0].value
    if body is None or {n.id for n in ast.walk(body) if isinstance(n, ast.Name)} - set(parameters):
        return None
    texts = dict(zip(parameters, arguments, strict=True))
    return f"({ast.unparse(_Substitution(texts).visit(body))})"


class _Substitution(ast.NodeTransformer):
    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(self._texts[node.id], mode="eval").body
