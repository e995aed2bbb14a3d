"""How processes of an evaluation are started: modules are imported once, and each process begins with them."""

from __future__ import annotations

from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess

__all__ = ["ForkServerProcess", "context"]


@cache
def context() -> ForkServerContext:
    """Where processes, pipes and pools are made."""
    found = get_context("forkserver")
    found.set_forkserver_preload(["streamguard.evaluation.files", "streamguard.evaluation.scorer"])
    return found
