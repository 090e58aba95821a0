"""Hooks of mkdocs: files of the repository outside docs/ join the site, and links to them lead to their pages.

Links in all documents are those of the repository, so that they work there too.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
RESULTS = "benchmarks/results"
DOCS = "docs/"
LINK = re.compile(r"(\]\()([^)\s#]+)(?=[)#])")


def outside() -> Iterator[Path]:
    """Yield the paths of the files that join the site."""
    yield from (CHECKOUT / name for name in PAGES)
    yield from (path for path in sorted((CHECKOUT / RESULTS).rglob("*")) if path.suffix in (".md", ".png", ".csv"))


def on_files(files: Files, config: Any) -> Files:
    """Add the files under their paths in the repository."""
    for path in outside():
        files.append(File.generated(config, path.relative_to(CHECKOUT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Return the page with links from its place in the site; those within docs/ are the same in both."""
    source = page.file.src_uri
    here = source if page.file.generated_by else DOCS + source

    def in_site(link: re.Match[str]) -> str:
        if ":" in link[2]:
            return link[0]
        target = normpath(join(dirname(here), link[2]))
        return link[1] + relpath(target.removeprefix(DOCS), dirname(source) or ".")

    return LINK.sub(in_site, markdown)
