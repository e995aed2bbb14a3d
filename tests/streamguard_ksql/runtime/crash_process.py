"""A process with the engine in it that kills itself at a named step.

    python -m tests.streamguard_ksql.runtime.crash_process SERVERS CONFIG_JSON [STEP [COUNT]]

STEP is `before:NAME` or `after:NAME` with a name of STEPS; it is killed there at the COUNT-th time. It prints
"ready" on stdout when all queries are, and runs until it is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import Producer

from streamguard_ksql.runtime import clients, query
from streamguard_ksql.runtime.changelog import Changelog
from streamguard_ksql.runtime.clients import KafkaTopics, Sender
from tests.support.engine import RunningEngine


class WatchedProducer(Producer):
    """A producer whose transactional calls can be replaced."""

    def init_transactions(self, *arguments: Any) -> Any:
        return super().init_transactions(*arguments)

    def begin_transaction(self, *arguments: Any) -> Any:
        return super().begin_transaction(*arguments)

    def send_offsets_to_transaction(self, *arguments: Any) -> Any:
        return super().send_offsets_to_transaction(*arguments)

    def commit_transaction(self, *arguments: Any) -> Any:
        return super().commit_transaction(*arguments)


STEPS: dict[str, tuple[Any, str]] = {
    "restore": (Changelog, "restore"),
    "write_changes": (Changelog, "write_changes"),
    "entry": (Changelog, "_send"),
    "marker": (Changelog, "write_marker"),
    "flush": (Sender, "flush"),
    "group": (query.QueryRunner, "_commit_group"),
    "store_group": (KafkaTopics, "store_group_positions"),
    "batch": (query.QueryRunner, "_step"),
    "init": (WatchedProducer, "init_transactions"),
    "begin": (WatchedProducer, "begin_transaction"),
    "offsets": (WatchedProducer, "send_offsets_to_transaction"),
    "commit": (WatchedProducer, "commit_transaction"),
}


def crash_at(step: str, count: int) -> None:
    """Have the step kill this process when it is taken for the `count`-th time."""
    moment, name = step.split(":")
    owner, attribute = STEPS[name]
    original: Callable[..., Any] = getattr(owner, attribute)
    taken = 0
    lock = threading.Lock()

    def reached() -> None:
        nonlocal taken
        with lock:
            taken += 1
            if taken == count:
                os.kill(os.getpid(), signal.SIGKILL)

    def crashing(*arguments: Any, **named: Any) -> Any:
        if moment == "before":
            reached()
        result = original(*arguments, **named)
        # An empty poll is no step.
        if moment == "after" and not (name == "batch" and not result):
            reached()
        return result

    setattr(owner, attribute, crashing)


def main(servers: str, config: str, step: str = "", count: str = "1") -> None:
    clients.Producer = WatchedProducer  # type: ignore[attr-defined]
    if step:
        crash_at(step, int(count))
    engine = RunningEngine(servers, orjson.loads(config))
    for runner in engine.runtime._runners.values():
        runner.ready.wait(30)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
