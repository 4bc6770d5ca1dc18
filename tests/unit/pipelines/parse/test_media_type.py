"""Which files can be read, by name."""

from pathlib import PurePath

import pytest

from pipelines.parse import MediaType, media_type_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/page.HTML", MediaType.HTML),
        ("page.htm", MediaType.HTML),
        ("notes.md", MediaType.MARKDOWN),
        ("notes.markdown", MediaType.MARKDOWN),
        ("readme.txt", MediaType.TEXT),
        ("readme.text", MediaType.TEXT),
        ("paper.Pdf", MediaType.PDF),
        ("picture.png", None),
        ("Makefile", None),
        (".md", None),
    ],
)
def test_the_kind_of_file_follows_from_its_ending(name: str, kind: MediaType | None) -> None:
    assert media_type_of(PurePath(name)) is kind
