"""pysail's Spark Connect server in a process of its own: `python -m streamguard.analytics.server`.

It prints the port that the system gave it on one line, and serves on loopback until its standard input ends: with the process
that started it, however that ends. Its memory is bounded: what does not fit goes to temporary files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamguard.analytics.catalogue import JobError

MEMORY_BYTES = 1_000_000_000
"""Of the engine's operators. Its code, what it reads ahead and the allocator's reserves come on top: some 400 MB."""
_READY_WITHIN_S = 60


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server that runs within the block, `sc://127.0.0.1:PORT`; its temporary files and log go to `folder`.

    Raises JobError where it does not start.
    """
    log = folder / "engine.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "streamguard.analytics.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(folder),
            # Ctrl-C is for us: we end it.
            start_new_session=True,
        )
    try:
        assert process.stdin is not None and process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]
            raise JobError(f"the engine of batch jobs (pysail) did not start: {last}")
        yield f"sc://127.0.0.1:{int(line)}"
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def environment(folder: Path) -> dict[str, str]:
    """The variables of the engine: bounded memory, temporary files in `folder`, errors only in its log."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    return {
        **given,
        "RUST_LOG": os.environ.get("RUST_LOG", "error"),
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(MEMORY_BYTES),
        "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": f'["{folder}"]',
        # glibc keeps a heap per thread otherwise: hundreds of MB that nobody uses.
        "MALLOC_ARENA_MAX": "2",
    }


def main() -> None:
    """Serve until standard input ends."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start()
    print(server.listening_address[1], flush=True)
    sys.stdin.buffer.read()
    # Without its threads' leave: what is under way belongs to nobody now.
    os._exit(0)


if __name__ == "__main__":
    main()
