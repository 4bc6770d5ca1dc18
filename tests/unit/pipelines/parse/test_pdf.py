"""PDF files: read page by page, or refused with a reason."""

import io

import pypdf
import pypdf.generic
import pytest

from pipelines.parse import Block, MediaType, ParseError, ParseLimits, parse


def pdf(*pages: str, title: str | None = None, password: str | None = None) -> bytes:
    """A PDF with one line of text on each page."""
    writer = pypdf.PdfWriter()
    font = pypdf.generic.DictionaryObject(
        {
            pypdf.generic.NameObject("/Type"): pypdf.generic.NameObject("/Font"),
            pypdf.generic.NameObject("/Subtype"): pypdf.generic.NameObject("/Type1"),
            pypdf.generic.NameObject("/BaseFont"): pypdf.generic.NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=612, height=792)
        content = pypdf.generic.StreamObject()
        content.set_data(f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode())
        page[pypdf.generic.NameObject("/Contents")] = writer._add_object(content)
        fonts = pypdf.generic.DictionaryObject({pypdf.generic.NameObject("/F1"): font})
        page[pypdf.generic.NameObject("/Resources")] = pypdf.generic.DictionaryObject(
            {pypdf.generic.NameObject("/Font"): fonts}
        )
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def refusal(data: bytes, limits: ParseLimits | None = None) -> str:
    with pytest.raises(ParseError) as caught:
        parse(data, media_type=MediaType.PDF, limits=limits or ParseLimits())
    assert caught.value.__cause__ is None
    return caught.value.message


def test_blocks_know_their_page() -> None:
    document = parse(pdf("First page.", "", "Third page.", title=" A  title "), media_type=MediaType.PDF)
    assert document.title == "A title"
    assert document.blocks == (Block("First page.", page=1), Block("Third page.", page=3))


def test_a_file_protected_with_an_empty_password_is_read() -> None:
    assert parse(pdf("text", password=""), media_type=MediaType.PDF).blocks[0].text == "text"


def test_a_file_protected_with_a_password_is_refused() -> None:
    assert refusal(pdf("text", password="secret")).startswith("The PDF is protected")


def test_a_scan_is_refused() -> None:
    assert refusal(pdf("", "")) == "The PDF has no text; it may be a scan."


def test_a_file_of_another_kind_is_refused() -> None:
    assert refusal(b"text") == "The file is not a PDF."


def test_a_file_without_pages_is_refused() -> None:
    assert refusal(pdf()) == "The PDF is damaged: no page could be read."


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6])
def test_a_truncated_file_is_refused(kept: float) -> None:
    data = pdf("First page.", "Second page.")
    assert refusal(data[: int(len(data) * kept)]).startswith("The PDF is damaged")


def test_a_page_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = pypdf.PageObject.extract_text

    def fail_on_the_second(page: pypdf.PageObject) -> str:
        if page.page_number == 1:
            raise RecursionError("/srv/secret")
        return str(extract(page))

    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail_on_the_second)
    assert refusal(pdf("one", "two")) == "The PDF is damaged: page 2 could not be read."


def test_characters_that_cannot_be_stored_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypdf.PageObject, "extract_text", lambda _page: "a\0b \ud800 c")
    assert parse(pdf("one"), media_type=MediaType.PDF).blocks[0].text == "ab ? c"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ParseLimits(max_pdf_pages=1), "The PDF has 2 pages, at most 1 are read; split it into parts."),
        (ParseLimits(max_chars=20), "The document has more than 20 characters; split it into parts."),
    ],
)
def test_a_file_beyond_the_limits_is_refused(limits: ParseLimits, reason: str) -> None:
    assert refusal(pdf("First page.", "Second page."), limits) == reason


def test_the_language_is_that_of_the_catalog() -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf("text")))
    writer = pypdf.PdfWriter(clone_from=reader)
    writer.root_object[pypdf.generic.NameObject("/Lang")] = pypdf.generic.TextStringObject("en-GB")
    file = io.BytesIO()
    writer.write(file)
    assert parse(file.getvalue(), media_type=MediaType.PDF).language == "en-GB"


def test_lack_of_memory_is_not_the_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_page: pypdf.PageObject) -> str:
        raise MemoryError

    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail)
    with pytest.raises(MemoryError):
        parse(pdf("one"), media_type=MediaType.PDF)
