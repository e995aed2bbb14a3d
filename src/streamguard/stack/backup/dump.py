"""The database in a backup: one snapshot of it, by pg_dump, and back by pg_restore."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

import psycopg2
from sqlalchemy import make_url

from streamguard.config import Settings
from streamguard.database.locks import Lock
from streamguard.database.migrations import schema_version
from streamguard.stack.errors import StackError
from streamguard.stack.postgres import client_program

PIECE_BYTES = 16 * 1024 * 1024
_LOCK_WITHIN = "20s"


@dataclass(frozen=True)
class Snapshot:
    """The database as it is at one instant, as long as the block of `snapshot` lasts."""

    name: str
    schema: int
    bytes: int


@contextmanager
def quiet(settings: Settings) -> Iterator[None]:
    """Within it nobody deploys SQL and nothing leaves the outbox; waits for those who do. Raises StackError."""
    connection = _connect(settings)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, FALSE)", (_LOCK_WITHIN,))
            for lock in (Lock.DEPLOYMENT, Lock.OUTBOX):
                cursor.execute("SELECT pg_advisory_lock(%s)", (int(lock),))
        connection.commit()
        yield
    except psycopg2.errors.LockNotAvailable:
        raise StackError(
            "somebody deploys SQL, or the outbox cannot be sent, as `streamguard status` says: repeat the backup then"
        ) from None
    except psycopg2.Error as error:
        raise _unavailable(error) from None
    finally:
        connection.close()


@contextmanager
def snapshot(settings: Settings) -> Iterator[Snapshot]:
    """A snapshot that `dump` can read, without locks that others would wait for. Raises StackError."""
    connection = _connect(settings)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot(), pg_database_size(current_database())")
            [(name, size)] = cursor.fetchall()
            schema = schema_version(cursor)
        if schema is None:
            raise StackError("the database has no tables yet: `streamguard up` makes them")
        yield Snapshot(name, schema, size)
    except psycopg2.Error as error:
        raise _unavailable(error) from None
    finally:
        connection.close()


def _connect(settings: Settings) -> psycopg2.extensions.connection:
    try:
        return psycopg2.connect(
            _address(settings),
            password=settings.database.password,
            connect_timeout=5,
            application_name="streamguard-backup",
            # The copy takes as long as it takes.
            options="-c idle_in_transaction_session_timeout=0",
        )
    except psycopg2.Error as error:
        raise _unavailable(error) from None


def _address(settings: Settings) -> str:
    """The database as libpq's programs take it, without the password."""
    url = make_url(settings.database_url).set(drivername="postgresql")
    return url._replace(password=None).render_as_string(hide_password=False)


def _unavailable(error: psycopg2.Error) -> StackError:
    lines = str(error).strip().splitlines()
    return StackError(f"the database (DATABASE_URL): {lines[0] if lines else type(error).__name__}")


def is_empty(settings: Settings) -> bool:
    """Whether the database has no tables of ours. Raises StackError."""
    connection = _connect(settings)
    try:
        with connection.cursor() as cursor:
            return schema_version(cursor) is None
    finally:
        connection.close()


def dump(settings: Settings, taken: Snapshot) -> Iterator[bytes]:
    """pg_dump's archive of the snapshot, in pieces. Raises StackError."""
    options = ["--format=custom", "--compress=0", "--no-owner", "--no-privileges", f"--snapshot={taken.name}"]
    with _running("pg_dump", options, settings, stdin=None, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(PIECE_BYTES):
            yield piece


def restore(settings: Settings, pieces: Iterable[bytes]) -> None:
    """Fill an empty database, in one transaction, from pg_dump's archive. Raises StackError."""
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    with _running("pg_restore", options, settings, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        # Where it has ended early, its exit code and its words say why.
        with suppress(BrokenPipeError):
            for piece in pieces:
                process.stdin.write(piece)
        with suppress(BrokenPipeError):
            process.stdin.close()


@contextmanager
def _running(
    name: str, options: list[str], settings: Settings, *, stdin: int | None, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of Postgres on the database; StackError with its first line where it fails."""
    command = [client_program(name, settings.database), *options, f"--dbname={_address(settings)}"]
    environment = {**os.environ, "PGPASSWORD": settings.database.password}
    said: IO[bytes]
    with tempfile.TemporaryFile() as said:
        # Ctrl-C at the terminal is for this process, which ends the other one.
        process = subprocess.Popen(
            command, env=environment, stdin=stdin, stdout=stdout, stderr=said, start_new_session=True
        )
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        if code != 0:
            said.seek(0)
            lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
            raise StackError(f"{name} failed: {lines[0] if lines else f'exit code {code}'}")
