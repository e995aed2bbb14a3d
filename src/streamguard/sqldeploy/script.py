"""SQL files as statements: split, variables substituted, parsed. DEFINE is evaluated by the client, as in ksqlDB's shell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from streamguard.config import UserError
from streamguard_ksql.ast import CreateAsSelect, CreateSource, Define, InsertInto, Statement, Undefine
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement, split_statements

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_DEFINE = re.compile(r"\s*DEFINE\b", re.IGNORECASE)


class DeployError(UserError):
    """A file that cannot be deployed; the text is one sentence with file, line and what was expected."""


class StatementRejected(DeployError):
    """The server does not accept a statement."""


@dataclass(frozen=True)
class Item:
    """One statement of a file, ready to send."""

    file: Path
    line: int
    text: str
    """As it is in the file, with its variables."""
    variables: dict[str, str]
    """The DEFINEs above it."""
    statement: Statement
    """Its meaning, variables filled in."""

    @property
    def kind(self) -> str:
        """stream, table or query."""
        if isinstance(self.statement, InsertInto):
            return "query"
        assert isinstance(self.statement, CreateSource | CreateAsSelect)
        return self.statement.kind.lower()

    @property
    def name(self) -> str:
        """The source's name or the query's id, as the server knows it."""
        if isinstance(self.statement, InsertInto):
            return str(self.statement.properties["QUERY_ID"]).upper()
        assert isinstance(self.statement, CreateSource | CreateAsSelect)
        return self.statement.name


def read(file: Path, given: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """The statements of a file in order. Raises DeployError, also for statements that could not be run twice.

    `given` has values of variables, by names in lower case, that are in the place of those that the file DEFINEs.
    """
    return read_text(file, text_of(file), given)


def text_of(file: Path) -> str:
    """What a file says. Raises DeployError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from None


def read_text(file: Path, text: str, given: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """As `read`, for a text that was read already; the file is for messages."""
    try:
        parts = split_statements(text)
    except KsqlError as error:
        raise DeployError(f"{file}: {error.message}") from None
    variables: dict[str, str] = {}
    items = []
    for part, location in parts:
        filled = fill_in(part, variables, f"{file}:{location.line}")
        # As many lines above it as in the file: the parser's errors then have the file's lines and columns.
        padded = "\n" * (location.line - 1) + " " * (location.column - 1) + filled
        try:
            statement = parse_statement(padded)
        except KsqlError as error:
            raise DeployError(f"{file}: {error.message}") from None
        if isinstance(statement, Define):
            name = statement.name.lower()
            variables[name] = given.get(name, statement.value)
        elif isinstance(statement, Undefine):
            variables.pop(statement.name.lower(), None)
        else:
            _check_repeatable(statement, f"{file}:{location.line}")
            items.append(Item(file, location.line, part, dict(variables), statement))
    return items


def defined(file: Path) -> dict[str, str]:
    """The values of a file's variables, by names in lower case: of two DEFINEs of one name the last. Raises DeployError."""
    try:
        statements = [parse_statement(part) for part, _ in split_statements(text_of(file)) if _DEFINE.match(part)]
    except KsqlError as error:
        raise DeployError(f"{file}: {error.message}") from None
    return {found.name.lower(): found.value for found in statements if isinstance(found, Define)}


def fill_in(text: str, variables: dict[str, str], where: str) -> str:
    """Replace `${name}`; raises DeployError for a name that no DEFINE gave."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1).lower()
        if name not in variables:
            known = ", ".join(sorted(variables)) or "none"
            raise DeployError(f"{where}: the variable {found.group(1)} is not DEFINEd above (defined: {known})")
        return variables[name]

    return _VARIABLE.sub(value, text)


def variables_in(text: str) -> set[str]:
    """The names of the variables of a statement, in lower case."""
    return {name.lower() for name in _VARIABLE.findall(text)}


def _check_repeatable(statement: Statement, where: str) -> None:
    if isinstance(statement, InsertInto):
        if not statement.properties.get("QUERY_ID"):
            raise DeployError(f"{where}: INSERT INTO needs WITH (QUERY_ID='name'), or a second deploy would double it")
    elif not isinstance(statement, CreateSource | CreateAsSelect):
        raise DeployError(f"{where}: only CREATE, INSERT INTO ... SELECT and DEFINE can be deployed again and again")
