"""A hook of MkDocs: the pages at the top of the repository become pages of the site, beside those of docs/.

Links are written for the repository. On the site, `docs/x.md` is `x.md`, `../README.md` is `README.md`, and a link to
anything else of the repository (source, SQL, licence) is its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the top-level pages."""
    for page in sorted(ROOT.glob("*.md")):
        files.append(File.generated(config, page.name, abs_src_path=str(page)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    is_top = (ROOT / page.file.src_uri).is_file()
    folder = posixpath.dirname(page.file.src_uri if is_top else f"docs/{page.file.src_uri}")
    here = posixpath.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        text, target = link.groups()
        parts = urlsplit(target)
        if parts.scheme or not parts.path:
            return link.group()
        in_repository = posixpath.normpath(posixpath.join(folder, parts.path))
        in_site = in_repository.removeprefix("docs/")
        if files.get_file_from_path(in_site) is None:
            # What is not there stays, for MkDocs to report it.
            return text if (ROOT / in_repository).exists() else link.group()
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        return f"[{text}]({posixpath.relpath(in_site, here or '.')}{anchor})"

    return _LINK.sub(rewritten, markdown)
