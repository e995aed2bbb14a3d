"""Walking and rewriting syntax trees without knowing each node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from streamguard_ksql import ast

N = TypeVar("N")
Rewriter = Callable[[ast.Expression, frozenset[str]], "ast.Expression | None"]


def rewrite(node: N, change: Rewriter, bound: frozenset[str] = frozenset()) -> N:
    """A copy of the tree in which `change(expression, bound)` has replaced what it gave a replacement for.

    `bound` has the names that enclosing lambdas bind. What `change` returns is not looked at again; where it returns
    None the children are visited.
    """
    if isinstance(node, ast.Chain):
        chain: N = _rewrite_chain(node, change, bound)  # type: ignore[assignment]
        return chain
    if isinstance(node, ast.Expression):
        changed = change(node, bound)
        if changed is not None:
            return changed  # type: ignore[return-value]
        if isinstance(node, ast.LambdaFunction):
            bound = bound | frozenset(node.params)
    result: N = _rebuild(node, change, bound)
    return result


def _rewrite_chain(node: ast.Expression, change: Rewriter, bound: frozenset[str]) -> ast.Expression:
    passed = []
    result = None
    while isinstance(node, ast.Chain) and (result := change(node, bound)) is None:
        passed.append(node)
        node = node.left
    if result is None:
        result = rewrite(node, change, bound)
    for link in reversed(passed):
        right = rewrite(link.right, change, bound)
        unchanged = result is link.left and right is link.right
        result = link if unchanged else replace(link, left=result, right=right)
    return result


def _rebuild(node: Any, change: Rewriter, bound: frozenset[str]) -> Any:
    if isinstance(node, tuple):
        items = tuple(rewrite(item, change, bound) if _is_tree(item) else item for item in node)
        return node if all(a is b for a, b in zip(items, node, strict=True)) else items
    if not is_dataclass(node) or isinstance(node, type):
        return node
    changes = {}
    for f in fields(node):
        value = getattr(node, f.name)
        if _is_tree(value):
            new = rewrite(value, change, bound)
            if new is not value:
                changes[f.name] = new
    return replace(node, **changes) if changes else node


def _is_tree(value: Any) -> bool:
    if isinstance(value, tuple):
        return True
    return isinstance(
        value, (ast.Expression, ast.Relation, ast.Query, ast.SelectItem, ast.SelectStructAll, ast.WhenClause)
    )


def expressions(node: Any) -> Iterator[ast.Expression]:
    """Every expression in a tree, outer ones first."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, ast.Expression):
            yield node
        if isinstance(node, tuple):
            left += reversed(node)
        elif is_dataclass(node) and not isinstance(node, type):
            left += [value for f in reversed(fields(node)) if _is_tree(value := getattr(node, f.name))]


def column_refs(node: Any) -> Iterator[ast.ColumnRef]:
    """Every column reference in a tree that no lambda binds."""
    found: list[ast.ColumnRef] = []

    def visit(expression: ast.Expression, bound: frozenset[str]) -> None:
        if isinstance(expression, ast.ColumnRef) and not (expression.source is None and expression.name in bound):
            found.append(expression)

    rewrite(node, visit)
    return iter(found)


def calls(node: Any) -> Iterator[ast.FunctionCall]:
    return (e for e in expressions(node) if isinstance(e, ast.FunctionCall))
