"""supervisord's configuration, made from the settings: one template, one section per process.

Paths are written as `%(here)s`, the folder of the file, which supervisord fills in after it has taken comments (` ;`, ` #`)
off. Its commands are words of a shell. What has neither way out, folders and variables, is in a file of the launcher's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from streamguard.config import Settings
from streamguard.stack import launcher, locks
from streamguard.stack.errors import StackError
from streamguard.stack.parts import Part

_SOCKET = "supervisor.sock"
SOCKET_VARIABLE = "SUPERVISOR_SOCKET"
"""Tells supervisord the path to bind to, where the folder's own is too long (`socket_within_reach`)."""

_HEAD = """\
; Written by streamguard at every start; edits are lost. Settings belong into .env.
[supervisord]
logfile=%(here)s/logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=%(here)s/supervisord.pid
childlogdir=%(here)s/logs
umask=077
{user}
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command={command}
environment=SURROUNDINGS="{digest}"
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=100
stopsignal={stop_signal}
stopwaitsecs=20
redirect_stderr=true
stdout_logfile=%%(here)s/logs/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def conf_file(settings: Settings) -> Path:
    """The path of the configuration."""
    return settings.state_path / "supervisord.conf"


def pid_file(settings: Settings) -> Path:
    """The file with supervisord's process id."""
    return settings.state_path / "supervisord.pid"


def socket_file(settings: Settings) -> Path:
    """The control socket."""
    return settings.state_path / _SOCKET


@contextmanager
def socket_within_reach(settings: Settings) -> Iterator[str]:
    """A path of the control socket that fits into a socket's address (sun_path of unix(7): some 100 bytes).

    A folder with a longer path is reached through a symbolic link, for as long as the context lasts: what a name in /tmp
    says for good is not found when the folder moves.
    """
    if _fits(settings):
        yield str(socket_file(settings))
        return
    # Not in TMPDIR, which may be long itself.
    with TemporaryDirectory(prefix="streamguard-", dir="/tmp") as place:
        link = Path(place) / "state"
        link.symlink_to(settings.state_path.absolute())
        yield str(link / _SOCKET)


def _fits(settings: Settings) -> bool:
    # supervisord first binds to a longer name, FILE.PID, and then links it.
    return len(os.fsencode(socket_file(settings).absolute())) < 90


def render(settings: Settings, parts: Iterable[Part]) -> str:
    """The whole configuration as text."""
    head = _HEAD.format(
        socket=f"%(here)s/{_SOCKET}" if _fits(settings) else f"%(ENV_{SOCKET_VARIABLE})s",
        user="user=root\n" if os.geteuid() == 0 else "",
    )
    return head + "".join(
        _PROGRAM.format(
            name=part.name,
            command=_command(_launched(settings, part)),
            digest=hashlib.sha256(surroundings(settings, part).encode()).hexdigest()[:16],
            priority=part.priority,
            stop_signal=part.stop_signal,
        )
        for part in parts
    )


def _launched(settings: Settings, part: Part) -> list[str]:
    """The part's command, started so that it ends with supervisord and its lock says that it runs."""
    lock = locks.lock_file(settings, part.name)
    start = [sys.executable, "-I", "-S", launcher.__file__, str(lock), str(pid_file(settings)), part.stop_signal]
    return [*start, str(_surroundings_file(settings, part)), *part.command]


def write(settings: Settings, parts: Iterable[Part]) -> Path:
    """Write the configuration and what the launcher reads, with the database's password: readable by the owner alone.

    Raises StackError.
    """
    parts = list(parts)
    file = conf_file(settings)
    try:
        for folder in (settings.state_path / "logs", locks.folder(settings)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts:
            _write_private(_surroundings_file(settings, part), surroundings(settings, part))
        _write_private(file, render(settings, parts))
    except OSError as error:
        raise StackError(
            f"{error.filename} cannot be written ({error.strerror}): work as the owner of the state folder"
        ) from None
    return file


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    # A path may have bytes that are no text; supervisord decodes them as we did.
    file.write_bytes(os.fsencode(text))


def _surroundings_file(settings: Settings, part: Part) -> Path:
    return locks.folder(settings) / f"{part.name}.json"


def surroundings(settings: Settings, part: Part) -> str:
    """The part's folder and variables, as the launcher reads them: addresses and how to speak to them, so that every
    process sees what the start saw, whatever becomes of .env."""
    variables = {**settings.environment, **dict(part.environment)}
    return json.dumps({"directory": str(Path.cwd()), "environment": variables}, indent=1)


def _command(words: list[str]) -> str:
    """A command line as supervisord reads it: it expands `%(name)s`, and takes what follows ` ;` or ` #` for a comment."""
    # Such a space is inside quotes, which are closed and opened again.
    return re.sub(r"(\s)([;#])", r"\1''\2", shlex.join(words)).replace("%", "%%")
