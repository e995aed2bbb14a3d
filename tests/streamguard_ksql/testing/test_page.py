"""docs/testing-your-rules.md: its files are written, its commands run, and what they print is compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "testing-your-rules.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.(?:sql|json))`")


def blocks() -> Iterator[tuple[str, str, str]]:
    """(language, text, the prose before it) of each code block."""
    page, end = PAGE.read_text(encoding="utf-8"), 0
    for block in BLOCK.finditer(page):
        yield block[1], block[2], page[end : block.start()]
        end = block.end()


def test_the_page_holds(tmp_path: Path) -> None:
    (tmp_path / "ksqldb").symlink_to(PAGE.parents[1] / "ksqldb")
    printed = ""
    ran = 0
    for language, text, prose in blocks():
        if language in ("sql", "json"):
            path = tmp_path / FILE.findall(prose)[-1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif language == "bash":
            command, *arguments = text.split()
            program = Path(sys.executable).with_name(command)
            done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
            printed = done.stdout
            ran += 1
        else:
            assert printed == text
    assert ran == 3
    assert (tmp_path / "report.json").is_file()
