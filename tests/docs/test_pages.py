"""What the pages point to is there: linked files and headings, files named by their path, modules and their members."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("src", "tests", "ksqldb", "docs", "docker", "scripts", "benchmarks", "ops")
PLACEHOLDER = re.compile(r"NNN|NAME|MONTH|\.\.\.|<")

page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them: lower case, hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {text.replace(" ", "-") for text in plain}


def links(page: Path) -> list[str]:
    """The targets of the page's links that stay in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))
    return [unquote(target) for target in targets if not re.match(r"[a-z]+:", target)]


@page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@page
def test_files_named_by_path_exist(page: Path) -> None:
    # A recipe of CONTRIBUTING.md makes its files only when it is carried out.
    text = re.sub(r"^New file .*$", "", prose(page), flags=re.MULTILINE)
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`", text)
    missing = [path for path in named if not PLACEHOLDER.search(path) and not list(ROOT.glob(path.rstrip("/")))]
    assert not missing


@page
def test_modules_and_their_members_exist(page: Path) -> None:
    named = re.findall(r"`((?:streamguard|streamguard_broker|streamguard_ksql)(?:\.\w+)+)`", prose(page))
    assert not [name for name in named if not exists(name)]


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module, or to a member of one."""
    parts, members = name.split("."), list[str]()
    while parts and not is_module(".".join(parts)):
        members.insert(0, parts.pop())
    if not parts:
        return False
    thing: object = import_module(".".join(parts))
    for member in members:
        if not hasattr(thing, member):
            return False
        thing = getattr(thing, member)
    return True


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
