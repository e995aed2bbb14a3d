"""Figures that many look at: shown while they are computed again, which what takes long is less often."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection

from streamguard.desk import cached
from tests.support.desk import Desk


def test_a_figure_that_takes_long_rests_long(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(cached, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    cache, calls = cached.Cache(desk.engine), [0]

    def takes_a_second(_: Connection) -> int:
        clock[0] += 1
        calls[0] += 1
        return calls[0]

    def ask() -> int:
        found = cache.get("figure", takes_a_second, for_s=5)
        for thread in threading.enumerate():
            if thread.name == "cache figure":
                thread.join()
        return found

    assert (ask(), calls) == (1, [1])
    clock[0] += 39
    assert (ask(), calls) == (1, [1])
    clock[0] += 2
    assert (ask(), calls) == (1, [2]), "the old one is shown while the next is computed"
    assert (ask(), calls) == (2, [2])
