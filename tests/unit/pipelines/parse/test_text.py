"""Plain text in the encodings that people have."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.parse import Block, MediaType, ParseError, parse


def read(data: bytes) -> list[str]:
    return [block.text for block in parse(data, media_type=MediaType.TEXT).blocks]


def test_blank_lines_separate_paragraphs() -> None:
    document = parse(b"One\nline two\r\n\r\n  \r\nTwo\n", media_type=MediaType.TEXT)
    assert document.blocks == (Block("One\nline two"), Block("Two"))
    assert document.title is None


@pytest.mark.parametrize(
    "data",
    [
        "“café” — 5 €".encode(),
        codecs.BOM_UTF8 + "“café” — 5 €".encode(),
        codecs.BOM_UTF16_LE + "“café” — 5 €".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "“café” — 5 €".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "“café” — 5 €".encode("utf-32-le"),
        "“café” — 5 €".encode("cp1252"),
    ],
)
def test_the_encoding_is_recognised(data: bytes) -> None:
    assert read(data) == ["“café” — 5 €"]


def test_bytes_that_windows_1252_lacks_are_read_as_latin_1() -> None:
    assert read(b"caf\xe9 \x81") == ["café \x81"]


@pytest.mark.parametrize(
    "data", [b"GIF89a\0\0", codecs.BOM_UTF16_LE + b"\x00\xd8", codecs.BOM_UTF8 + b"\xff"]
)
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(
        ParseError, match=r"^The file (is not text; give|begins as UTF-\S+ text but is not; save)"
    ):
        read(data)


@pytest.mark.parametrize("data", [b"", b" \n\n\t "])
def test_a_file_without_text_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="no readable text"):
        read(data)


@pytest.mark.parametrize("kind", [MediaType.TEXT, MediaType.MARKDOWN, MediaType.HTML, MediaType.PDF])
@settings(deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200), st.text(alphabet="#`~*_[]()<>&!-=\n\\ ab", max_size=200).map(str.encode)
    )
)
def test_any_bytes_are_read_or_refused(kind: MediaType, data: bytes) -> None:
    try:
        document = parse(data, media_type=kind)
    except ParseError:
        return
    assert document.blocks
    assert all(block.text and block.text == block.text.strip() for block in document.blocks)
