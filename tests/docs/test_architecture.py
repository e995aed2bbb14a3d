"""The table of layers in docs/architecture.md is the import contract of pyproject.toml, in its order."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from importlinter.api import read_configuration

from tests.support import pages

CONFIGURATION = read_configuration(str(Path(__file__).parents[2] / "pyproject.toml"))


def contracted_layers() -> list[set[str]]:
    """The packages of each layer of the application, from top to bottom, as import-linter reads them."""
    contracts = CONFIGURATION["contracts_options"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["streamguard"]]
    return [set(re.split(r"\s*[|:]\s*", layer)) for layer in layers]


def shown_layers() -> list[set[str]]:
    """The packages of each layer in the page's table."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| \S", pages.read("docs/architecture.md"), re.MULTILINE)
    return [{name for _, name in group} for _, group in groupby(rows, key=lambda row: row[0])]


def test_the_page_shows_the_contracted_layers_in_order() -> None:
    assert shown_layers() == contracted_layers()


def test_the_page_names_the_three_packages() -> None:
    shown = re.findall(r"^\| `(streamguard\w*)` \|", pages.read("docs/architecture.md"), re.MULTILINE)
    assert shown == CONFIGURATION["session_options"]["root_packages"]
