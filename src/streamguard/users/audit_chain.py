"""Whether the audit log is as it was written: its rows are a chain of SHA-256 (migration 15 has the trigger that makes it).

The hash of a row is that of its fields, its place in the chain and the hash of the row before. It is computed here anew, from
the columns, without the functions of the database: whoever alters a row may have altered those as well. `audit_head` has the
last row, so that an end that was removed shows. Who can write to the database can make a new chain throughout; that shows
against a hash that somebody noted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, text

from streamguard.config.errors import UserError

GENESIS = "0" * 64
"""What stands for the hash of the row before the first."""

_HEX_DIGITS = 64


class NoHash(UserError):
    """What was given as a hash is none."""


@dataclass(frozen=True)
class Head:
    """The last row of the chain: how many rows there are, and the hash of the last, in hexadecimal."""

    chain_no: int
    row_hash: str


@dataclass(frozen=True)
class Chain:
    """What became of checking it: the rows that there are, the last hash, and what is wrong, a sentence each."""

    entries: int
    last_hash: str
    faults: list[str]


@dataclass(frozen=True)
class _Row:
    """A row of the log, or with `is_head` the one of `audit_head`; hashes in hexadecimal, times in microseconds of the epoch."""

    is_head: bool
    chain_no: int | None
    row_hash: str | None
    previous_hash: str | None
    entry_no: str
    done_at: str
    done_by: str
    action: str
    subject: str
    reason: str | None
    value_before: str | None
    value_after: str | None

    def computed(self) -> str:
        """The hash that its content gives."""
        content = (self.entry_no, self.done_at, self.done_by, self.action, self.subject, self.reason)
        fields = (str(self.chain_no), self.previous_hash, *content, self.value_before, self.value_after)
        line = ",".join("-" if field is None else f"{len(field)}:{field}" for field in fields)
        return sha256(line.encode()).hexdigest()

    @property
    def name(self) -> str:
        """It in a sentence."""
        return f"entry {self.entry_no} ({self.action} of {self.subject} by {self.done_by})"


# One statement, so that rows and head are of one moment.
_ROWS = """
SELECT FALSE AS is_head, chain_no, encode(row_hash, 'hex') AS row_hash, encode(previous_hash, 'hex') AS previous_hash,
    CAST(entry_no AS TEXT) AS entry_no, CAST(trunc(extract(epoch FROM done_at) * 1000000) AS TEXT) AS done_at,
    done_by, action, subject, reason,
    CAST(value_before AS TEXT) AS value_before, CAST(value_after AS TEXT) AS value_after
FROM audit_log
UNION ALL
SELECT TRUE, chain_no, encode(row_hash, 'hex'), NULL, '', '', '', '', '', NULL, NULL, NULL FROM audit_head
ORDER BY is_head, chain_no, entry_no
"""
_HEAD = "SELECT chain_no, encode(row_hash, 'hex') AS row_hash FROM audit_head"


def head(connection: Connection) -> Head | None:
    """The last row of the chain as the database has it, to be noted down elsewhere; None where the table has lost it."""
    found = connection.execute(text(_HEAD)).one_or_none()
    return None if found is None else Head(found.chain_no, found.row_hash)


def verify(connection: Connection, from_head: str | None = None) -> Chain:
    """Compute every hash anew. With `from_head`, a hash noted before, the chain also has to contain it.

    Raises NoHash for a `from_head` that is no SHA-256 in hexadecimal.
    """
    walk = _Walk(None if from_head is None else _hash(from_head))
    for row in _rows(connection):
        walk.head(row) if row.is_head else walk.row(row)
    return walk.end()


def _hash(given: str) -> str:
    found = given.strip().lower()
    if len(found) != _HEX_DIGITS or set(found) - set("0123456789abcdef"):
        raise NoHash(f"{given} is no hash: `streamguard audit head` prints one, {_HEX_DIGITS} hexadecimal digits")
    return found


def _rows(connection: Connection) -> Iterator[_Row]:
    """Not all in memory at once."""
    options = {"stream_results": True, "yield_per": 1_000}
    for row in connection.execute(text(_ROWS), execution_options=options).mappings():
        yield _Row(**row)


class _Walk:
    """Goes along the chain and keeps what is wrong."""

    def __init__(self, noted: str | None) -> None:
        self._noted = noted
        self._is_noted_there = noted in (None, GENESIS)
        self._entries = 0
        self._number, self._hash = 0, GENESIS
        self._has_head = False
        self._faults: list[str] = []

    def row(self, row: _Row) -> None:
        self._entries += 1
        if row.chain_no is None:
            self._faults.append(f"{row.name} is not in the chain: it was written past the trigger audit_log_chain")
            return
        follows = row.chain_no == self._number + 1
        if row.chain_no > self._number + 1:
            self._missing(row.chain_no - 1, f"before {row.name}")
        elif not follows:
            self._faults.append(f"{row.name} has the place {row.chain_no} of another entry")
        if row.computed() != row.row_hash:
            self._faults.append(f"{row.name} was altered: its content does not give its hash")
        elif follows and row.previous_hash != self._hash:
            self._faults.append(f"{row.name} does not follow the entry before it: that one was altered or exchanged")
        self._number, self._hash = row.chain_no, row.row_hash or ""
        self._is_noted_there |= row.row_hash == self._noted

    def head(self, row: _Row) -> None:
        self._has_head = True
        number = row.chain_no or 0
        if number > self._number:
            self._missing(number, "at the end")
        elif number < self._number or row.row_hash != self._hash:
            self._faults.append(
                f"audit_head has place {number} with the hash {row.row_hash}, the last entry place {self._number}: one of the"
                " two was altered"
            )

    def end(self) -> Chain:
        if not self._has_head:
            self._faults.append("audit_head has lost its row: whether entries are missing at the end cannot be seen")
        if not self._is_noted_there:
            self._faults.append(
                f"no entry has the noted hash {self._noted}: that entry was altered or removed, or it is of another database"
            )
        return Chain(self._entries, self._hash, self._faults)

    def _missing(self, last: int, where: str) -> None:
        first = self._number + 1
        which = f"the entry at place {first} is" if first == last else f"the entries at places {first} to {last} are"
        self._faults.append(f"{which} missing {where}")
