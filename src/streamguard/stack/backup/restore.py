"""`streamguard restore FILE`: into an empty state folder, or, where the database is elsewhere, an empty database.

All is built in the folder `restore.new` below the state folder, and moved to its place once every byte is checked. A start
refuses while that folder is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import make_url

from streamguard.config import Settings
from streamguard.database.migrations import all_migrations
from streamguard.stack import launcher, locks, passwords, ports, state
from streamguard.stack.backup import dump
from streamguard.stack.backup.archive import Manifest, Reader
from streamguard.stack.backup.create import mebibytes
from streamguard.stack.errors import StackError
from streamguard.stack.parts import embedded_parts
from streamguard.stack.supervisor import Supervisor

Report = Callable[[str], None]

_REPORT_EVERY_S = 5.0
_POSTGRES_WITHIN_S = 60.0
_PARTS = ("postgres", "broker")
_MOVING = "moving"
"""A file in the folder, from the moment at which all is checked and the parts are moved."""


def restore(settings: Settings, path: Path, report: Report) -> Manifest:
    """Fill an empty place from a backup. Raises StackError, and leaves the place as it was then."""
    reader = Reader(path)
    _check_versions(path, reader.manifest)
    state.check(settings, restoring=True)
    if Supervisor(settings).alive():
        raise StackError(
            f"the stack runs on {settings.state_path}: restore into another folder (STREAMGUARD_STATE_DIR)"
        )
    state.make(settings)
    with locks.command(settings, report):
        _remove_unfinished(settings)
        settings = passwords.keep(settings)
        _check_empty(settings, reader.manifest)
        staged = state.restore_folder(settings)
        staged.mkdir(mode=0o700)
        try:
            _fill(settings, reader, staged, report)
            _move(settings, staged)
        except BaseException:
            _remove_unfinished(settings)
            raise
    return reader.manifest


def _check_versions(path: Path, manifest: Manifest) -> None:
    """Raises StackError for a backup of a newer program or schema."""
    ours, known = version("streamguard"), len(all_migrations())
    if _numbers(manifest.program) > _numbers(ours) or manifest.schema > known:
        raise StackError(
            f"{path} was made by StreamGuard {manifest.program} with schema {manifest.schema}, this is {ours} with schema"
            f" {known}: install that version or a newer one"
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


def _has_own(settings: Settings, name: str) -> bool:
    return any(part.name == name for part in embedded_parts(settings))


def _check_empty(settings: Settings, manifest: Manifest) -> None:
    """Raises StackError where there is data, or too little room."""
    there = [name for name in (*_PARTS, "ksqldb") if (settings.state_path / name).exists()]
    if there:
        raise StackError(
            f"{settings.state_path} has data ({', '.join(there)}): restore into another folder (STREAMGUARD_STATE_DIR),"
            " or remove the data with `streamguard down --wipe`"
        )
    if not _has_own(settings, "postgres") and not dump.is_empty(settings):
        raise StackError("the database (DATABASE_URL) has tables already: name an empty one")
    if manifest.broker_bytes is not None and not _has_own(settings, "broker"):
        raise StackError(
            "the backup has topics with their offsets, which only an embedded broker can take over, and"
            f" KAFKA_BOOTSTRAP_SERVERS names another ({settings.kafka_bootstrap_servers}): unset it for the restore"
        )
    needed = manifest.database_bytes + (manifest.broker_bytes or 0)
    free = shutil.disk_usage(settings.state_path).free
    if free < needed + state.LEAST_FREE_BYTES:
        raise StackError(
            f"only {mebibytes(free)} are free for {settings.state_path}; the backup needs"
            f" {mebibytes(needed + state.LEAST_FREE_BYTES)}"
        )


def _fill(settings: Settings, reader: Reader, staged: Path, report: Report) -> None:
    """Build both parts in `staged`. Raises StackError."""
    try:
        if _has_own(settings, "postgres"):
            with _postgres(settings, staged) as reached:
                dump.restore(reached, _database(reader, staged, report))
        else:
            dump.restore(settings, _database(reader, staged, report))
    except OSError as error:
        raise StackError(f"nothing is restored: {settings.state_path}: {error.strerror or error}") from None
    os.sync()


def _database(reader: Reader, staged: Path, report: Report) -> Iterator[bytes]:
    """The pieces of the database; writes the broker's files, which come before, on the way. Checks all at the end."""
    done, next_s = 0, time.monotonic() + _REPORT_EVERY_S
    for name, pieces in reader.members():
        if name.startswith("broker/"):
            target = staged / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for piece in pieces:
                    file.write(piece)
                    done += len(piece)
        elif name.startswith("database/"):
            for piece in pieces:
                yield piece
                done += len(piece)
        if time.monotonic() > next_s:
            next_s = time.monotonic() + _REPORT_EVERY_S
            report(f"{mebibytes(done)} restored")
    # Before the database's transaction ends: that of a database elsewhere cannot be taken back.
    reader.finish()


@contextmanager
def _postgres(settings: Settings, staged: Path) -> Iterator[Settings]:
    """The embedded Postgres on a new folder and a free port; yields the settings to reach it. Raises StackError."""
    url = _with_port(settings, ports.free())
    log, pid_file = staged / "postgres.log", staged / "restore.pid"
    pid_file.write_text(str(os.getpid()))
    # As under the supervisor: should this process be killed, Postgres ends.
    launched = [sys.executable, "-I", "-S", launcher.__file__, str(staged / "postgres.lock"), str(pid_file), "INT"]
    surroundings = staged / "postgres.json"
    surroundings.touch(mode=0o600)
    surroundings.write_text(json.dumps({"directory": str(Path.cwd()), "environment": {"DATABASE_URL": url}}))
    command = [sys.executable, "-I", "-m", "streamguard.cli", "postgres", "--data-dir", str(staged / "postgres")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*launched, str(surroundings), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at the terminal is for this process, which ends the other one in order.
            start_new_session=True,
        )
        try:
            reached = settings.model_copy(update={"database_url": url})
            _wait_for_postgres(reached, process, log)
            yield reached
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode != 0:
        raise StackError(
            f"Postgres did not end in order ({process.returncode}): nothing is restored; repeat the command"
        )


def _with_port(settings: Settings, port: int) -> str:
    return make_url(settings.database_url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


def _wait_for_postgres(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _POSTGRES_WITHIN_S
    while True:
        try:
            dump.is_empty(settings)
            return
        except StackError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines()
                raise StackError(f"Postgres does not start: {lines[-1] if lines else error}") from None
        time.sleep(0.1)


def _move(settings: Settings, staged: Path) -> None:
    """Put the parts in their places. Cut off in it, `restore.new` is still there, and with it the refusal to start."""
    (staged / _MOVING).touch()
    for name in _PARTS:
        if (staged / name).exists():
            (staged / name).rename(settings.state_path / name)
    shutil.rmtree(staged)


def _remove_unfinished(settings: Settings) -> None:
    """Remove what a restore that was cut off has left, also what it had moved already: nothing can have started on it."""
    staged = state.restore_folder(settings)
    for name in _PARTS if (staged / _MOVING).exists() else ():
        shutil.rmtree(settings.state_path / name, ignore_errors=True)
    shutil.rmtree(staged, ignore_errors=True)
