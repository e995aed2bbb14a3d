"""`streamguard backup FILE`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from streamguard.config import Settings
from streamguard.stack.backup import dump
from streamguard.stack.backup.archive import FORMAT, Manifest, Writer, new_file
from streamguard.stack.backup.frozen import BrokerFiles
from streamguard.stack.errors import StackError
from streamguard.stack.supervisor import Process, Supervisor

Report = Callable[[str], None]

_REPORT_EVERY_S = 5.0


def backup(settings: Settings, path: Path, report: Report) -> Manifest:
    """Write database and topics into a new file while everything runs. Raises StackError, and leaves no file then."""
    supervisor = Supervisor(settings)
    processes = supervisor.processes() if supervisor.alive() else {}
    if not processes:
        raise StackError(
            f"nothing runs on {settings.state_path}: start it with `streamguard up`, then repeat the backup"
        )
    with ExitStack() as stack:
        file = stack.enter_context(new_file(path))
        broker: BrokerFiles | None = None
        with dump.quiet(settings):
            taken = stack.enter_context(dump.snapshot(settings))
            if "broker" in processes:
                # After the database: what that has read is in the topics, whatever they got meanwhile.
                broker = BrokerFiles(settings.state_path / "broker", _running_broker(processes["broker"]))
                stack.callback(broker.close)
        manifest = Manifest(
            format=FORMAT,
            program=version("streamguard"),
            schema=taken.schema,
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            database_bytes=taken.bytes,
            broker_bytes=None if broker is None else broker.size,
        )
        writer = Writer(file)
        writer.add_manifest(manifest)
        progress = _Progress(writer, taken.bytes + (broker.size if broker else 0), report)
        for name, size, content in broker or ():
            writer.add(f"broker/{name}", size, content)
            progress.tell()
        for number, piece in enumerate(dump.dump(settings, taken), 1):
            writer.add_bytes(f"database/{number:06}", piece)
            progress.tell()
        writer.close()
    return manifest


def _running_broker(broker: Process) -> int:
    if not broker.pid:
        raise StackError("the broker does not run: `streamguard up` starts it; then repeat the backup")
    return broker.pid


class _Progress:
    """A sentence every few seconds. The database's part is an estimate: indexes are in its size, and not in the file."""

    def __init__(self, writer: Writer, expected: int, report: Report) -> None:
        self._writer, self._expected, self._report = writer, expected, report
        self._next_s = time.monotonic() + _REPORT_EVERY_S

    def tell(self) -> None:
        if time.monotonic() > self._next_s:
            self._next_s = time.monotonic() + _REPORT_EVERY_S
            self._report(f"{mebibytes(self._writer.written)} of at most {mebibytes(self._expected)} read")


def mebibytes(count: int) -> str:
    """A size for people."""
    return f"{count / 2**20:,.1f} MiB"
