"""Sinks as parts of the stack: asked for with --with, kept by later starts, dropped with none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import StackRun
from tests.support.processes import eventually

pytestmark = [pytest.mark.integration, pytest.mark.soak]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state")
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def _lines(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("transactions-*.jsonl"))


def test_a_sink_is_a_part_until_it_is_dropped(stack: StackRun) -> None:
    copies = stack.state / "copies"
    said = stack.start("--with", "jsonl,lake,batch")
    assert "sinks: sink-jsonl, sink-lake" in said
    eventually(lambda: _lines(copies), lambda lines: lines > 20)
    assert "sink-jsonl" in stack.streamguard("status").stdout
    lake = stack.state / "lake" / "transactions"
    eventually(lambda: DeltaTable.is_deltatable(str(lake)) and DeltaTable(str(lake)).count(), lambda rows: rows > 20)
    stack.stop("--keep")
    had = _lines(copies)
    assert "sinks: sink-jsonl" in stack.start(), "a start without --with keeps the choice"
    eventually(lambda: _lines(copies), lambda lines: lines > had + 20)
    assert "streamguard-sink-jsonl" in stack.streamguard("groups", "list").stdout
    assert "sinks:" not in stack.start("--with", "none")
    assert "sink-jsonl" not in Supervisor(stack.settings).processes()
    stack.stop("--wipe")
    assert not copies.exists() and not lake.exists()
