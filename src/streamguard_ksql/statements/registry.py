"""The registry of statements: through a decorated function the parser, the formatter, the engine or the server knows one.

    @builds("list_types")
    @dataclass(frozen=True)
    class ListTypes(ast.Statement):
        pass

    @prints(ListTypes)
    def _(statement: ListTypes) -> str:
        return "LIST TYPES"

    @executes(ListTypes)
    def _list_types(statement: ListTypes, context: Context) -> list[Entity]:
        ...

The modules are loaded at the first look-up, not when this one is imported: they import the server and the engine, which
import the parser and the formatter, which look statements up here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from streamguard_ksql import ast, statements

Key = TypeVar("Key")
Function = TypeVar("Function", bound=Callable[..., Any])


class Registry(Generic[Key]):
    """Functions by what they are for: called with keys it is a decorator, `find` gives the function of a key."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._functions: dict[Key, Callable[..., Any]] = {}

    def __call__(self, *keys: Key) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            for key in keys:
                if key in self._functions:
                    raise ValueError(f"{getattr(key, '__name__', key)} has two {self._role}s")
                self._functions[key] = function
            return function

        return register

    def find(self, key: Key) -> Callable[..., Any] | None:
        load()
        return self._functions.get(key)


@cache
def load() -> None:
    """Import every module of statements. A server does so at its start, or its first statement would wait for it."""
    for module in iter_modules(statements.__path__):
        import_module(f"{statements.__name__}.{module.name}")


builds: Registry[str] = Registry("builder")
"""By rule of grammar.lark: the rule's parts to the statement, without its text and location."""
prints: Registry[type[ast.Statement]] = Registry("printer")
"""The statement to its SQL, without semicolon."""
executes: Registry[type[ast.Statement]] = Registry("handler")
"""The statement and a `server.execution.Context` to the entities of the server's answer."""
applies: Registry[type[ast.Statement]] = Registry("effect")
"""The engine, the statement and its configuration to the `engine.Outcome`: what the statement does to the catalogue."""
command_ids: Registry[type[ast.Statement]] = Registry("command id")
"""The statement and its outcome to the id of its command; there is no outcome yet of PAUSE and RESUME."""
changes_session: Registry[type[ast.Statement]] = Registry("session change")
"""The statement and a `server.session.Session` to nothing: such a statement is not executed, and has no answer."""
