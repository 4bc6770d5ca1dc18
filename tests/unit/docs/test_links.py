"""Every link in the documentation leads somewhere, and every page can be reached from the index."""

from pathlib import Path

import pytest

from tests.unit.docs.markdown import PAGES, ROOT, anchors, links

INDEX = ROOT / "docs" / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_internal_link_resolves(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_links_to_every_page() -> None:
    linked = {(INDEX.parent / link).resolve() for link in links(INDEX) if "://" not in link}
    assert {page for page in PAGES if INDEX.parent in page.parents} - linked == {INDEX}


def test_the_readme_leads_to_the_index() -> None:
    assert "docs/README.md" in links(ROOT / "README.md")
