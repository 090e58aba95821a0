"""README and docs/: length, links and commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import CHECKOUT

README = CHECKOUT / "README.md"
PAGES = sorted((CHECKOUT / "docs").rglob("*.md"))
MAX_LINES = 130
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ON_GITHUB = ("../../actions/",)  # of the repository's page, relative to the README there


def links(text: str) -> Iterator[str]:
    """Yield the targets of the links and images outside of code."""
    yield from LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_each_internal_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"https?:|mailto:", link) or link.startswith(ON_GITHUB):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
