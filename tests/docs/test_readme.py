"""The README's example of personal data, carried out as printed: each line in a shell that has no setting but its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stackrun import StackRun
from tests.support import pages

pytestmark = pytest.mark.integration

TOKEN = r"acc_[0-9a-f]{24}"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state")
    yield run
    run.stop("--wipe")


def example() -> list[str]:
    """The commands of the section "Personal data"."""
    section = pages.read("README.md").split("\n## Personal data\n")[1].split("\n## ")[0]
    [block] = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [str(line) for line in block.splitlines()]


@pytest.mark.soak
def test_personal_data_stays_protected_in_the_next_shell_and_at_the_next_start(stack: StackRun) -> None:
    lines = example()
    [listed] = [account for line in lines for account in re.findall(r"blacklist add account (\S+)", line)]
    assert sum("start.sh" in line for line in lines) == 2, "a first start and a later one"
    for line in lines:
        stack.run("bash", "-c", line)
    stack.generate("velocity", "--account", listed, "--count", "8")
    token = stack.query("SELECT value FROM lists")[0][0]
    assert re.fullmatch(TOKEN, token)
    stack.wait_count(f"decisions JOIN fraud_alerts USING (alert_id) WHERE account_id = '{token}'", 1)
    reasons = stack.query(
        f"SELECT d.reason FROM decisions d JOIN fraud_alerts USING (alert_id) WHERE account_id = '{token}'"
    )
    assert all("stolen card" in str(reason) for (reason,) in reasons), reasons
    [(clear,)] = stack.query(f"SELECT count(*) FROM transactions WHERE account_id !~ '^{TOKEN}$'")
    assert clear == 0
    said = stack.run("bash", "-c", f"STREAMGUARD_PII_KEY={'0' * 32} ./start.sh", check=False)
    assert said.returncode == 1
    assert "STREAMGUARD_PII_KEY is not the key that this database has had since" in said.stderr
