"""Reads our documentation: the pages, their links, and their examples."""

import re
from pathlib import Path

from scripts.transcripts.page import Call
from scripts.transcripts.page import calls as calls_of
from scripts.transcripts.page import read as examples

__all__ = ["PAGES", "ROOT", "anchors", "calls", "examples", "links", "prose"]

ROOT = Path(__file__).parents[3]
PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where the page's links lead."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The names by which the page's headings are linked to, as GitHub makes them."""
    headings = (heading.lower().replace(" ", "-") for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


def calls(page: Path) -> list[Call]:
    """Every curl command of the page's shell blocks."""
    return calls_of(page.read_text())
