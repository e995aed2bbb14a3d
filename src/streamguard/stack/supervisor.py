"""Talk to supervisord over its Unix socket (XML-RPC, http://supervisord.org/api.html), and start it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamguard.config import Settings
from streamguard.stack.conf import SOCKET_VARIABLE, conf_file, socket_file, socket_within_reach
from streamguard.stack.errors import StackError
from streamguard.stack.logs import last_log_line


@dataclass(frozen=True)
class Process:
    """A supervised process as supervisord sees it. `state` is RUNNING, STARTING, BACKOFF, STOPPED, EXITED or FATAL."""

    name: str
    state: str
    pid: int
    up_s: int
    error: str
    """Why the last start failed, if it did."""


RUNS = ("RUNNING", "STARTING", "BACKOFF")
"""The states of a process that runs, or is about to."""
_ANSWER_S = 30.0
"""Longer than the stop of a process may take (`stopwaitsecs`)."""
_STATE_S = 5.0
"""For a question that is answered at once; a frozen supervisor does not."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, settings: Settings, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._settings = settings

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with socket_within_reach(self._settings) as path:
            self.sock.connect(path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.timeout_s = _ANSWER_S

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._settings, self.timeout_s)
        # Where the base class looks for what it has to close.
        self._connection = host, connection
        return connection


class Supervisor:
    """supervisord of one state folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = socket_file(settings)
        self._transport = _UnixTransport(settings)
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", transport=self._transport)

    def _call(self, method: str, *arguments: Any) -> Any:
        self._transport.timeout_s = _STATE_S if method == "getState" else _ANSWER_S
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise StackError(f"supervisord: {fault.faultString}") from None
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise StackError(f"supervisord does not answer at {self._socket}: {error}") from None
        finally:
            self._proxy("close")()

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except StackError:
            return False

    def launch(self, timeout_s: float = 10.0) -> None:
        """Start supervisord as a daemon, without any process yet. Raises StackError."""
        try:
            self._socket.unlink(missing_ok=True)
        except OSError as error:
            raise StackError(f"{self._socket}, supervisord's socket, cannot be made anew: {error.strerror}") from None
        command = [
            sys.executable,
            "-I",
            "-W",
            "ignore",
            "-m",
            "supervisor.supervisord",
            "-c",
            str(conf_file(self._settings)),
        ]
        # In a session of its own: Ctrl-C is for us, who then end it in order. Its log is opened before it takes the umask
        # of its configuration.
        with socket_within_reach(self._settings) as path:
            done = subprocess.run(
                command,
                env={**os.environ, SOCKET_VARIABLE: path},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o077,
            )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or [str(done.returncode)]
            # An error of its configuration has advice in the line behind it that helps nobody here.
            reason = next((line for line in lines if line.startswith("Error: ")), lines[-1])
            raise StackError(f"supervisord did not start: {reason.removeprefix('Error: ')}")
        deadline = time.monotonic() + timeout_s
        while not self.alive():
            if time.monotonic() > deadline:
                last = last_log_line(self._settings.state_path / "logs", "supervisord")
                raise StackError(f"supervisord does not answer: {last}")
            time.sleep(0.05)

    def reread(self) -> None:
        """Apply a changed configuration: new processes are added, changed ones replaced, gone ones removed. Raises StackError."""
        try:
            [[added, changed, removed]] = self._call("reloadConfig")
        except StackError as error:
            if "could not find config file" not in str(error):
                raise
            raise StackError(
                f"what runs was started before its folder came to {self._settings.state_path}: stop it"
                " (`streamguard down`), then start again"
            ) from None
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name, True)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)

    def processes(self) -> dict[str, Process]:
        """All processes by name."""
        found = [
            Process(
                p["name"], p["statename"], p["pid"], max(0, p["now"] - p["start"]) if p["pid"] else 0, p["spawnerr"]
            )
            for p in self._call("getAllProcessInfo")
        ]
        return {process.name: process for process in found}

    def start(self, name: str) -> bool:
        """Start a process without waiting; False if it runs already."""
        if self.processes()[name].state in RUNS:
            return False
        self._call("startProcess", name, False)
        return True

    def stop(self, name: str) -> None:
        """Stop a process and wait for its end."""
        if self.processes()[name].state in RUNS:
            self._call("stopProcess", name, True)

    def shutdown(self, timeout_s: float = 60.0) -> None:
        """Stop every process in reverse order, then supervisord; returns when it is gone. Raises StackError."""
        pid = int(self._call("getPID"))
        self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        while _runs(pid):
            if time.monotonic() > deadline:
                raise StackError(f"supervisord (process {pid}) did not end within {timeout_s:.0f} s")
            time.sleep(0.05)
        self._socket.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # In a container it may not be reaped: a zombie has ended.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
