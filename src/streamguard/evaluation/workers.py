"""How processes of an evaluation or a back-test are started: modules are imported once, and each process begins with them."""

from __future__ import annotations

import signal
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess

__all__ = ["BACKTEST", "EVALUATION", "ForkServerProcess", "context"]
EVALUATION = ("streamguard.evaluation.files", "streamguard.evaluation.scorer")
BACKTEST = ("streamguard.backtest.processes",)


@cache
def context(modules: tuple[str, ...] = EVALUATION) -> ForkServerContext:
    """Where processes, pipes and pools are made; what the processes of the first caller need is imported before them.

    That begins now, beside what the caller does until it needs them.
    """
    found = get_context("forkserver")
    found.set_forkserver_preload(list(modules))
    # Ctrl-C is for the command, which ends its processes; among the imports it would be a traceback of theirs.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found
