"""Several consumers as parts of the stack: asked for with --consumers, kept by later starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import StackRun

pytestmark = pytest.mark.integration

READ = (
    "SELECT sum(records_read), (SELECT count(*) FROM transactions) FROM consumer_offsets WHERE topic = 'transactions'"
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state")
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def consumers(stack: StackRun) -> list[str]:
    return sorted(name for name in Supervisor(stack.settings).processes() if name.startswith("consumer"))


def test_consumers_are_parts_until_fewer_are_asked_for(stack: StackRun) -> None:
    refused = stack.run("./start.sh", "--consumers", "0", check=False)
    assert refused.returncode == 1 and refused.stderr.startswith("streamguard: --consumers 0: at least 1")
    said = stack.start("--no-generator", "--no-desk", "--rules", "core", "--consumers", "4")
    assert "consumer, consumer-2, consumer-3 and consumer-4 run" in said
    assert "4 consumers share 3 partitions: 1 stands by" in said
    assert "consumer-4" in stack.streamguard("status").stdout
    assert "assigned" in stack.streamguard("logs", "consumer-4").stdout
    stack.generate("batch", "--count", "3000", "--seed", "5")
    stack.kill("consumer-2")
    stack.wait_count("transactions", 2_900)
    stack.stop("--keep")
    assert "consumer-4 run" in stack.start("--no-generator", "--no-desk", "--rules", "core")
    assert "consumer and consumer-2 run" in stack.start("--no-generator", "--no-desk", "--consumers", "2")
    assert consumers(stack) == ["consumer", "consumer-2"]
    stack.wait_settled()
    [(read, rows)] = stack.query(READ)
    [(dead,)] = stack.query("SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions'")
    assert read == rows + dead == 3_000
