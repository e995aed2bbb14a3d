"""Ends a process that stands still: one in which no Python thread but one gets to run, so that nothing answers any more.

The kernel's timer of the process's CPU time is set again every second by a thread that does nothing else. If it is not,
because some call in C never gives the interpreter away, the timer ends the process (SIGPROF), which the supervisor then
starts again. A process that was stopped, or a machine that was, uses no CPU time and is left alone.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
import time
from pathlib import Path

from streamguard_ksql.runtime.trials import LAST_CRASH

FREEZE_CPU_S = 30.0
"""CPU time of the whole process without a turn for the watching thread."""
TURN_S = 1.0


def watch(folder: Path, cpu_s: float = FREEZE_CPU_S) -> None:
    """Begin; what all threads are doing when the process stands still, or crashes, is written to `crash.txt` in the folder.

    What an earlier process wrote there is `crash.last.txt` from then on (see `runtime.trials`).
    """
    crash_file = folder / "crash.txt"
    if crash_file.exists() and crash_file.stat().st_size:
        crash_file.replace(folder / LAST_CRASH)
    dump = crash_file.open("w", encoding="utf-8")  # for as long as the process lives
    faulthandler.enable(dump, all_threads=True)
    faulthandler.register(signal.SIGPROF, dump, all_threads=True, chain=True)

    def wind_up() -> None:
        while True:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            time.sleep(TURN_S)

    threading.Thread(target=wind_up, name="freeze", daemon=True).start()
