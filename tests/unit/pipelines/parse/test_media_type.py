"""Which files can be read, by name and by content."""

from pathlib import PurePath

import pytest

from pipelines.parse import MediaType, media_type_by_content, media_type_of, parse
from tests.unit.pipelines.parse.nasty import pdf_with_text, word_document


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
        ("letter.docx", MediaType.DOCX),
        ("table.csv", MediaType.CSV),
        ("table.TSV", MediaType.CSV),
        ("data.json", MediaType.JSON),
        ("lines.jsonl", MediaType.JSONL),
        ("lines.ndjson", MediaType.JSONL),
        ("picture.png", None),
        ("Makefile", None),
        (".md", None),
    ],
)
def test_the_kind_of_file_follows_from_its_ending(name: str, kind: MediaType | None) -> None:
    assert media_type_of(PurePath(name)) is kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pdf_with_text(), MediaType.PDF),
        (word_document(), MediaType.DOCX),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML>", MediaType.HTML),
        (b"<html lang=en>", MediaType.HTML),
        (b"<p align=center>begins many a Markdown file", None),
        (b"text", None),
        (b"PK\x03\x04", None),
    ],
)
def test_the_kind_of_file_follows_from_its_content_where_that_is_plain(
    data: bytes, kind: MediaType | None
) -> None:
    assert media_type_by_content(data) is kind


@pytest.mark.parametrize("start", ["BZh is no word", "Rar!", "PAR1, a golf club", "GIF89a is a format"])
def test_text_may_begin_like_another_format(start: str) -> None:
    assert parse(start.encode(), media_type=MediaType.TEXT).text == start
