"""SQL that a person types, on a ksqlDB server over its REST API: cut into statements, told apart, sent one by one.

A statement that only reads (READS) may be run by whoever may read; everything else changes the server. SET, UNSET, DEFINE and
UNDEFINE are evaluated here, as in ksqlDB's shell, so that what is sent is what was judged. Each statement is sent with as many
lines and columns before it as in the text: places in the server's messages are places in the text.

Source: ksqlDB's documentation, "Run a query" (/query) and "Execute a statement" (/ksql).
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import orjson

from streamguard.config import UserError
from streamguard.config.ksqldb import Ksqldb
from streamguard.sqldeploy.script import DeployError, fill_in
from streamguard.sqldeploy.state import refusal_of, unreachable
from streamguard_ksql.parser import split_statements

READS = frozenset(("SHOW", "LIST", "DESCRIBE", "EXPLAIN", "SELECT", "PRINT"))
QUERIES = frozenset(("SELECT", "PRINT"))
SESSION = frozenset(("SET", "UNSET", "DEFINE", "UNDEFINE"))
LARGEST_TEXT = 1_000_000
_ANSWER_S = 60.0
_MEDIA = "application/vnd.ksql.v1+json"
_BLANKS = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_SET = re.compile(r"SET\s+'((?:[^']|'')+)'\s*=\s*'((?:[^']|'')*)'\s*;?", re.IGNORECASE)
_UNSET = re.compile(r"UNSET\s+'((?:[^']|'')+)'\s*;?", re.IGNORECASE)
_DEFINE = re.compile(r"DEFINE\s+(\w+)\s*=\s*'((?:[^']|'')*)'\s*;?", re.IGNORECASE)
_UNDEFINE = re.compile(r"UNDEFINE\s+(\w+)\s*;?", re.IGNORECASE)
_PLACE = re.compile(r"[Ll]ine:? (\d+)(?::|, Col: )(\d+)")


class SqlRefused(UserError):
    """A statement that is not run; `line` and `column`, from 1 on, are its place in the text, None where none is known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class ServerUnavailable(UserError):
    """No ksqlDB server answers."""


@dataclass(frozen=True)
class Part:
    """A statement of a text: `sent` is what the server gets, `word` its first word; line and column of its beginning."""

    text: str
    sent: str
    word: str
    line: int
    column: int
    properties: Mapping[str, str]

    @property
    def reads_only(self) -> bool:
        return self.word in READS

    @property
    def is_query(self) -> bool:
        """Whether its answer is rows or lines that come by and by."""
        return self.word in QUERIES


def parts_of(text: str, properties: Mapping[str, str]) -> list[Part]:
    """The statements of a text, those of the session applied and left out. Raises SqlRefused."""
    if len(text) > LARGEST_TEXT:
        raise SqlRefused(f"the text has {len(text):,} characters, {LARGEST_TEXT:,} are read")
    # In ksqlDB a carriage return ends a comment: with line feeds alone all agree on where it ends.
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    given, variables = dict(properties), dict[str, str]()
    found = []
    for statement, at in split_statements(clean):
        filled = _filled(statement, variables, at.line, at.column)
        word = first_word(filled)
        if word in SESSION:
            _apply(filled, given, variables, at.line, at.column)
            continue
        ended = filled if filled.rstrip().endswith(";") else filled + ";"
        sent = "\n" * (at.line - 1) + " " * (at.column - 1) + ended
        found.append(Part(statement, sent, word, at.line, at.column, dict(given)))
    return found


def first_word(statement: str) -> str:
    """The word that says what a statement does, in upper case; empty if there is none."""
    begun = _BLANKS.match(statement)
    word = _WORD.match(statement, begun.end() if begun else 0)
    return word[0].upper() if word else ""


def _filled(statement: str, variables: dict[str, str], line: int, column: int) -> str:
    """With its variables. What comes of it is one statement: a value cannot begin another."""
    try:
        filled = fill_in(statement, variables, f"line {line}")
    except DeployError as error:
        raise SqlRefused(str(error), line, column) from None
    if len(split_statements(filled)) > 1:
        raise SqlRefused(
            f"line {line}: a variable has a semicolon in it, which would begin another statement", line, column
        )
    return filled


def _apply(statement: str, given: dict[str, str], variables: dict[str, str], line: int, column: int) -> None:
    """Evaluate SET, UNSET, DEFINE or UNDEFINE."""
    begun = _BLANKS.match(statement)
    words = statement[begun.end() if begun else 0 :].strip()
    if found := _SET.fullmatch(words):
        given[_unquoted(found[1])] = _unquoted(found[2])
    elif found := _UNSET.fullmatch(words):
        given.pop(_unquoted(found[1]), None)
    elif found := _DEFINE.fullmatch(words):
        variables[found[1].lower()] = _unquoted(found[2])
    elif found := _UNDEFINE.fullmatch(words):
        variables.pop(found[1].lower(), None)
    else:
        form = "SET 'name'='value'; UNSET 'name'; DEFINE name = 'value'; UNDEFINE name"
        raise SqlRefused(f"line {line}:{column}: the forms are {form}", line, column)


def _unquoted(text: str) -> str:
    return text.replace("''", "'")


class Answer:
    """The answer to one statement: JSON of /ksql, or the lines of /query as they come. `close`, from any thread, ends it."""

    def __init__(self, server: Ksqldb, path: str, part: Part, after: int) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._is_read = False
        self._server = server
        parts = urlsplit(server.url)
        host, port = parts.hostname or "", parts.port
        headers = {"Accept": _MEDIA, "Content-Type": _MEDIA}
        if server.username:
            pair = f"{server.username}:{server.password}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        body: dict[str, Any] = {"ksql": part.sent, "streamsProperties": dict(part.properties)}
        if after >= 0:
            body["commandSequenceNumber"] = after
        self._connection = (
            HTTPSConnection(host, port, timeout=_ANSWER_S, context=ssl.create_default_context(cafile=server.ca_file))
            if parts.scheme == "https"
            else HTTPConnection(host, port, timeout=_ANSWER_S)
        )
        try:
            self._connection.connect()
            self._socket: socket.socket = self._connection.sock
            self._connection.request("POST", f"{parts.path.rstrip('/')}{path}", orjson.dumps(body), headers)
            self._response: HTTPResponse = self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise ServerUnavailable(str(unreachable(server, error))) from None
        if self._response.status >= 400:
            raise self._refusal(part)

    def lines(self) -> Iterator[str]:
        """Each line as it comes. Raises ServerUnavailable where the server breaks off."""
        with self._lock:
            if self._closed:
                return
            self._is_read = True
        self._socket.settimeout(None)  # a push query may be silent for as long as it likes
        try:
            for line in self._response:
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (OSError, HTTPException, ValueError) as error:
            if not self._closed:
                raise ServerUnavailable(f"the ksqlDB server broke off the answer ({type(error).__name__})") from None
        finally:
            with self._lock:
                self._is_read = False
                ended = self._closed
            if ended:
                self._connection.close()

    def json(self) -> Any:
        """All of it. Raises ServerUnavailable where it is no JSON, or does not come."""
        try:
            return orjson.loads(self._response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise ServerUnavailable(
                f"what answers at KSQLDB_URL is no ksqlDB server ({type(error).__name__})"
            ) from None

    def close(self) -> None:
        """End it; a reader that waits for a line is woken, and the server ends the query."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            is_read = self._is_read
        with suppress(OSError):  # the server may have been faster
            self._socket.shutdown(socket.SHUT_RDWR)
        # Closed under a reader, the response would lose its file in the middle of a line: the reader closes it then.
        if not is_read:
            self._connection.close()

    def _refusal(self, part: Part) -> UserError:
        try:
            content = self._response.read()
            if self._response.status == 401:
                self.close()
                return ServerUnavailable(refusal_of(self._server, 401, content))
            answer = orjson.loads(content)
            message = str(answer["message"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            message = f"the server answered with HTTP status {self._response.status}"
        self.close()
        return refusal(message, part)


def refusal(message: str, part: Part) -> SqlRefused:
    """A message of the server with its place; where it names none, the place of the statement."""
    place = _PLACE.search(message)
    return SqlRefused(message, *((int(place[1]), int(place[2])) if place else (part.line, part.column)))


def send(server: Ksqldb | str, part: Part, after: int = -1) -> Answer:
    """Send a statement; the server waits until it has done the command with the number `after`.

    Raises SqlRefused, ServerUnavailable.
    """
    return Answer(Ksqldb.of(server), "/query" if part.is_query else "/ksql", part, after)
