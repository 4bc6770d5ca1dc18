"""Plain text in the encodings that people have."""

import codecs

import pytest

from pipelines.parse import Block, MediaType, ParseError, ParseLimits, parse


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


@pytest.mark.parametrize("data", [b"GIF8\0\0", codecs.BOM_UTF16_LE + b"\x00\xd8", codecs.BOM_UTF8 + b"\xff"])
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(
        ParseError, match=r"^The file (is not text; give|begins as UTF-\S+ text but is not; save)"
    ):
        read(data)


@pytest.mark.parametrize("data", [b"", b" \n\n\t "])
def test_a_file_without_text_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="no readable text"):
        read(data)


def test_more_text_than_the_limit_is_refused() -> None:
    limits = ParseLimits(max_chars=10)
    assert parse(b"12345678", media_type=MediaType.TEXT, limits=limits).text == "12345678"
    with pytest.raises(
        ParseError, match=r"^The document has more than 10 characters; split it into parts\.$"
    ):
        parse(b"1234\n\n5678", media_type=MediaType.TEXT, limits=limits)
    with pytest.raises(ParseError, match="more than 2 paragraphs or records"):
        parse(b"1\n\n2\n\n3", media_type=MediaType.TEXT, limits=ParseLimits(max_blocks=2))


@pytest.mark.parametrize("piece", ["\n", " \n", "\n ", "\n\f", "a\n \t"])
@pytest.mark.timeout(10)
def test_hostile_text_takes_no_longer_than_its_length(piece: str) -> None:
    read(b"x" + (piece * (500_000 // len(piece))).encode() + b"x")
