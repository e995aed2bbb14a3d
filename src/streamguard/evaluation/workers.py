"""How processes of an evaluation or a back-test are started: modules are imported once, and each process begins with them."""

from __future__ import annotations

from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess

__all__ = ["ForkServerProcess", "context"]
EVALUATION = ("streamguard.evaluation.files", "streamguard.evaluation.scorer")


@cache
def context(modules: tuple[str, ...] = EVALUATION) -> ForkServerContext:
    """Where processes, pipes and pools are made; what the processes of the first caller need is imported before them."""
    found = get_context("forkserver")
    found.set_forkserver_preload(list(modules))
    return found
