"""The documentation as a site: it builds without a warning, and every page can be found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import pages

ROOT = Path(__file__).parents[2]
DOCS = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
TOP = {page.name for page in ROOT.glob("*.md")}
INDEX = "decisions/index.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def in_navigation(entry: object) -> list[str]:
    """The pages of an entry of `nav`, in order."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return [page for part in parts for page in in_navigation(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = yaml.safe_load(pages.read("mkdocs.yml"))["nav"]
    assert sorted(in_navigation(navigation)) == sorted(DOCS | TOP)


def test_every_page_is_linked_from_the_readme() -> None:
    """The decisions by way of their index, which lists all of them (test_decisions.py)."""
    linked = set(re.findall(r"\]\(([^)#]+\.md)(?:#[^)]*)?\)", pages.read("README.md")))
    decisions = {page for page in DOCS if page.startswith("decisions/")} - {INDEX}
    assert {f"docs/{page}" for page in DOCS - decisions} | TOP - {"README.md"} <= linked


def test_the_site_begins_with_the_readme(site: Path) -> None:
    assert "Real-time fraud detection on payment streams" in (site / "index.html").read_text(encoding="utf-8")


def test_links_of_the_repository_are_links_of_the_site(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="architecture/"' in start and 'href="decisions/"' in start
    assert not re.findall(r'href="[^"]*(?:\.md|\.sql|/src/)[^"]*"', start)
    assert 'href="../runbook/#personal-data"' in (site / "security" / "index.html").read_text(encoding="utf-8")


def test_the_site_asks_no_other_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]*src="https?:', html), page
        assert not re.findall(r'<link[^>]*rel="(?:stylesheet|preload|preconnect)"[^>]*href="https?:', html), page
