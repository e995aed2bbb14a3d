"""What the Tab key offers: keywords, functions, and the streams, tables and topics that the server has."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from streamguard_ksql.parsing.keywords import RESERVED
from streamguard_ksql.shell.client import ShellError
from streamguard_ksql.shell.session import Session

_WORDS = """
    ADD ALL ARRAY ASSERT BIGINT BOOLEAN BYTES CHANGES COLUMN CONNECTORS DATE DAYS DECIMAL DEFINE DELETE DOUBLE EMIT
    EXPLAIN EXTENDED FINAL FUNCTION FUNCTIONS GRACE HEADERS HOPPING HOURS IF INTEGER KEY LIST MAP MILLISECONDS MINUTES
    PARTITION PAUSE PERIOD PRIMARY PROPERTIES QUERIES REPLACE RESUME RUN SCRIPT SECONDS SESSION SET SHOW SIZE SOURCE
    SPOOL STREAMS STRING STRUCT TABLES TIME TIMESTAMP TOPIC TOPICS TUMBLING TYPE TYPES UNDEFINE VARCHAR VARIABLES WINDOW
    clear exit help history output quit server version
"""
KEYWORDS = tuple(sorted(RESERVED | set(_WORDS.split())))
_LAST_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
RETRY_S = 5.0


class ShellCompleter(Completer):
    """Completes the word before the cursor; asks the server for names when they may have changed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.functions: list[str] = []
        self.sources: list[str] = []
        self._asked_at = -RETRY_S
        session.schema_changed = True

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        match = _LAST_WORD.search(document.text_before_cursor)
        if match is None:
            return
        word = match[0]
        self._refresh()
        groups = (("source", self.sources), ("function", self.functions), ("", KEYWORDS))
        for kind, names in groups:
            for name in names:
                if name.upper().startswith(word.upper()) and name != word:
                    shown = name.lower() if word.islower() and name.isupper() else name
                    yield Completion(shown + ("(" if kind == "function" else ""), -len(word), display_meta=kind)

    def _refresh(self) -> None:
        """Ask for names after a statement that may have changed them; a server that is unavailable is asked again later."""
        now = time.monotonic()
        if not self.session.schema_changed or now - self._asked_at < RETRY_S:
            return
        self._asked_at = now
        try:
            if not self.functions:
                self.functions = self._names("SHOW FUNCTIONS;", "functions")
            self.sources = sorted(self._names("SHOW STREAMS;", "streams") + self._names("SHOW TABLES;", "tables"))
        except ShellError:
            return
        self.session.schema_changed = False

    def _names(self, statement: str, entity: str) -> list[str]:
        answer = self.session.client.execute(statement, {}, {})
        return [str(row["name"]) for found in answer for row in found.get(entity, ())]
