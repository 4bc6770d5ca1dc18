"""Whatever the bytes, there is a document that can be stored, or a reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.parse import MediaType, ParsedDocument, ParseError, ParseLimits, parse
from tests.unit.pipelines.parse.nasty import pdf_with_text, word_document

LIMITS = ParseLimits(max_chars=5000, max_blocks=500, max_unpacked_bytes=2**20)

GOOD = {
    MediaType.HTML: b"<html lang=en><title>T</title><body><h1>a</h1><p>b<ul><li><a>c</a></ul><pre>d</pre>",
    MediaType.MARKDOWN: b"---\ntitle: x\n---\n# a\n\n- b\n\n```\nc\n```\n[d](e)\n",
    MediaType.TEXT: "eins\n\nzwei äöü\n".encode("utf-16"),
    MediaType.PDF: pdf_with_text(),
    MediaType.DOCX: word_document(),
    MediaType.CSV: b'name;age\n"A;\nB";36\n',
    MediaType.JSON: b'{"title": "x", "items": [{"a": [1, 2.5e3, null]}, {"b": "\\ud83d\\ude00"}]}',
    MediaType.JSONL: b'{"a": 1}\n["b", {"c": true}]\n',
}


def read_or_refuse(data: bytes, kind: MediaType) -> ParsedDocument | None:
    try:
        document = parse(data, media_type=kind, limits=LIMITS)
    except ParseError as refusal:
        reason = refusal.message
    else:
        check(document)
        return document
    assert reason.endswith(".")
    return None


def check(document: ParsedDocument) -> None:
    assert document.blocks
    assert all(block.text and block.text == block.text.strip() for block in document.blocks)
    assert len(document.text) <= LIMITS.max_chars
    for text in (
        document.title or "",
        document.text,
        *(text for b in document.blocks for text in b.headings),
    ):
        assert "\0" not in text
        text.encode()


@pytest.mark.parametrize("kind", MediaType)
def test_good_files_are_read(kind: MediaType) -> None:
    assert read_or_refuse(GOOD[kind], kind) is not None


@pytest.mark.parametrize("kind", MediaType)
@settings(deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='#`~*_[]{}()<>&!-=:;,|"\t\n\\\\ ab1', max_size=200).map(str.encode),
    )
)
def test_any_bytes_are_read_or_refused(kind: MediaType, data: bytes) -> None:
    read_or_refuse(data, kind)


@pytest.mark.parametrize("kind", MediaType)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(kind: MediaType, data: st.DataObject) -> None:
    damaged = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(start + 20, len(damaged))))
        damaged[start:end] = data.draw(st.binary(max_size=20))
    read_or_refuse(bytes(damaged), kind)
