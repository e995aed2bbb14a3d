"""The recipes of CONTRIBUTING.md as edits of files and commands.

A recipe is a section "## Add ...". The line above a fenced block says what it is: `New file` with a path, `In` a path
`at the end` or `above the line` that follows, or `Run`. `NNNN` in a path, and `(N,` in a text, are the number of the next
migration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support import pages

MIGRATIONS = "src/streamguard/data/migrations"
_SECTION = re.compile(r"^## (Add .+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^(\S[^\n]*):\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EDIT = re.compile(r"(New file|In) `([^`]+)`(?:, (?:(at the end)|above the line `([^\n]+)`))?")


@dataclass(frozen=True)
class Edit:
    """One change of one file. `above` is the line, without its indentation, that the text is put above."""

    path: str
    text: str
    is_new: bool
    above: str | None = None

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")

    def apply(self, root: Path) -> None:
        """Make the change; raises AssertionError where the page no longer fits the file."""
        next_migration = 1 + sum(1 for file in (root / MIGRATIONS).glob("*.sql"))
        file = root / self.path.replace("NNNN", f"{next_migration:04d}")
        text = self.text.replace("(N,", f"({next_migration},")
        if self.is_new:
            assert not file.exists(), f"{file} is no new file"
            file.write_text(text, encoding="utf-8")
            return
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        places = [number for number, line in enumerate(lines) if self.above is not None and line.strip() == self.above]
        assert self.above is None or len(places) == 1, f"{self.path} has {len(places)} lines {self.above!r}"
        lines.insert(places[0] if places else len(lines), text)
        file.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Recipe:
    """What a section of the page asks for."""

    edits: tuple[Edit, ...]
    commands: tuple[str, ...]


def recipes() -> dict[str, Recipe]:
    """All recipes of the page, by the heading of their section."""
    return {title: _recipe(text) for title, text in _SECTION.findall(pages.read("CONTRIBUTING.md"))}


def _recipe(section: str) -> Recipe:
    blocks = _BLOCK.findall(section)
    assert len(blocks) == section.count("\n```") // 2, "a block without a line that says what it is"
    edits = tuple(_edit(line, text) for line, text in blocks if line != "Run")
    commands = [command for line, text in blocks if line == "Run" for command in text.splitlines()]
    return Recipe(edits, tuple(commands))


def _edit(line: str, text: str) -> Edit:
    match = _EDIT.fullmatch(line)
    assert match, f"not understood: {line!r}"
    return Edit(match[2], text, match[1] == "New file", match[4])
