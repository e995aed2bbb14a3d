"""supervisord's configuration, made from the settings: one template, one section per process."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from streamguard.config import Settings
from streamguard.stack import launcher, locks
from streamguard.stack.parts import Part

_HEAD = """\
; Written by streamguard at every start; edits are lost. Settings belong into .env.
[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={pid_file}
childlogdir={logs}
umask=077
{user}
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}
"""

_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=100
stopsignal={stop_signal}
stopwaitsecs=20
redirect_stderr=true
stdout_logfile={logs}/{name}.log
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
    """The control socket; beside the state, unless that path is too long for a Unix socket (about 100 bytes)."""
    beside = settings.state_path / "supervisor.sock"
    # supervisord first binds to a longer name, FILE.PID, and then links it.
    if len(str(beside)) < 90:
        return beside
    digest = hashlib.sha256(str(settings.state_path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"streamguard-{os.getuid()}-{digest}.sock"


def render(settings: Settings, parts: Iterable[Part]) -> str:
    """The whole configuration as text."""
    logs = settings.state_path / "logs"
    head = _HEAD.format(
        pid_file=_plain(str(pid_file(settings))),
        logs=_plain(str(logs)),
        socket=_plain(str(socket_file(settings))),
        user="user=root\n" if os.geteuid() == 0 else "",
    )
    return head + "".join(
        _PROGRAM.format(
            name=part.name,
            command=_plain(shlex.join(_launched(settings, part))),
            directory=_plain(str(Path.cwd())),
            environment=_environment(settings, part),
            priority=part.priority,
            stop_signal=part.stop_signal,
            logs=_plain(str(logs)),
        )
        for part in parts
    )


def _launched(settings: Settings, part: Part) -> list[str]:
    """The part's command, started so that it ends with supervisord and its lock says that it runs."""
    lock = locks.lock_file(settings, part.name)
    start = [sys.executable, "-I", "-S", launcher.__file__, str(lock), str(pid_file(settings)), part.stop_signal]
    return [*start, *part.command]


def write(settings: Settings, parts: Iterable[Part]) -> Path:
    """Write the configuration, readable by its owner alone: it contains passwords."""
    for folder in (settings.state_path / "logs", locks.folder(settings)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = conf_file(settings)
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(render(settings, parts), encoding="utf-8")
    return file


def _environment(settings: Settings, part: Part) -> str:
    """Addresses and how to speak to them, so that every process sees what the start saw, whatever becomes of .env."""
    variables = {**settings.environment, "PYTHONUNBUFFERED": "1", **dict(part.environment)}
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in variables.items())


def _plain(text: str) -> str:
    """supervisord expands %(name)s and takes ` ;` for a comment."""
    return text.replace("%", "%%").replace(" ;", "\\ ;")


def _quoted(text: str) -> str:
    return text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
