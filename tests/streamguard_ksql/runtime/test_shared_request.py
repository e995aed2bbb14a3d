"""One request for what several threads ask for at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamguard_ksql.runtime.shared_request import SharedRequest
from tests.support.ksqldb import eventually


class Server:
    """Answers each item with the number of the request; waits for its gate first, and knows no `bad`."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.shared: SharedRequest[str, int] = SharedRequest(self._answer)

    def _answer(self, items: Sequence[str]) -> dict[str, int]:
        self.requests.append(list(items))
        self.begun.set()
        assert self.gate.wait(60)
        if "bad" in items:
            raise LookupError("bad")
        return dict.fromkeys(items, len(self.requests))

    def ask(self, item: str) -> int:
        return self.shared.ask([item], time.monotonic())[item]

    def wants(self, items: str) -> bool:
        return set(items) <= set(self.shared._wanted)


def test_what_is_asked_meanwhile_is_one_request_afterwards() -> None:
    server = Server()
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(server.ask, "a")
        assert server.begun.wait(60)
        later = [threads.submit(server.ask, name) for name in "bcdef"]
        eventually(lambda: server.wants("bcdef"))
        server.gate.set()
        assert first.result(60) == 1
        # As of after they asked: not what the request brings that was under way.
        assert [found.result(60) for found in later] == [2] * 5
    assert [sorted(items) for items in server.requests] == [["a"], list("abcdef")]


def test_an_answer_serves_whoever_it_is_new_enough_for() -> None:
    server = Server()
    server.gate.set()
    before_s = time.monotonic()
    assert server.shared.ask(["a", "b"], before_s) == {"a": 1, "b": 1}
    assert server.shared.ask(["b"], before_s)["b"] == 1
    assert server.shared.ask(["b"], time.monotonic())["b"] == 2
    assert server.shared.ask(["c"], before_s)["c"] == 3
    assert server.requests == [["a", "b"], ["a", "b"], ["a", "b", "c"]]


def test_a_failure_is_that_of_those_who_asked_for_it() -> None:
    server = Server()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(server.ask, "a")
        assert server.begun.wait(60)
        bad, good = threads.submit(server.shared.ask, ["bad"], 0.0), threads.submit(server.ask, "b")
        eventually(lambda: "bad" in server.shared._wanted and server.wants("b"))
        server.gate.set()
        assert first.result(60) == 1
        assert good.result(60) > 1
        with pytest.raises(LookupError, match="bad"):
            bad.result(60)
    assert server.ask("c") == len(server.requests)
