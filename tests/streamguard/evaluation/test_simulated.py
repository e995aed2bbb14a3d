"""The page of the simulated frauds is what its command gives."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from streamguard.cli.evaluate import app
from tests.support.project import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "scorecards.md"


def test_the_page_of_scorecards_is_up_to_date(tmp_path: Path) -> None:
    made, report = tmp_path / "page.md", tmp_path / "report.json"
    done = CliRunner().invoke(app, ["--simulated", "--page", str(made), "--json", str(report)])
    assert done.exit_code == 0, done.output
    assert made.read_text() == PAGE.read_text(), "streamguard evaluate --simulated --page docs/scorecards.md"
    assert '"high_amount"' in report.read_text()
