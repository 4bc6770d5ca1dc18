"""Word documents: headings by style, tables by row, in the order of the document."""

import io

import docx
import docx.oxml
import pytest
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE

from pipelines.parse import Block, MediaType, ParsedDocument, ParseError, ParseLimits, parse
from tests.unit.pipelines.parse.nasty import word_document

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def read(document: Document) -> ParsedDocument:
    file = io.BytesIO()
    document.save(file)
    return parse(file.getvalue(), media_type=MediaType.DOCX)


def add(document: Document, markup: str) -> None:
    """A paragraph with this inside."""
    document.element.body.insert(-1, docx.oxml.parse_xml(f"<w:p {WORD}>{markup}</w:p>"))


def test_blocks_know_the_headings_above_them_and_tables_stand_where_they_are() -> None:
    document = docx.Document()
    document.add_paragraph("intro")
    document.add_heading("One", 1)
    table = document.add_table(2, 2)
    for at, cell in enumerate(("k", "v", "a", "1")):
        table.cell(at // 2, at % 2).text = cell
    document.add_paragraph("after")
    document.add_heading("Two", 2)
    document.add_paragraph("item", style="List Bullet")
    assert read(document).blocks == (
        Block("intro"),
        Block("k | v", ("One",)),
        Block("a | 1", ("One",)),
        Block("after", ("One",)),
        Block("item", ("One", "Two")),
    )


def test_title_and_language_are_those_of_the_properties() -> None:
    document = docx.Document()
    document.core_properties.title = " A  title "
    document.core_properties.language = "pt-BR"
    document.add_heading("Heading", 1)
    document.add_paragraph("text")
    parsed = read(document)
    assert (parsed.title, parsed.language) == ("A title", "pt-BR")


def test_without_a_title_the_first_heading_is_it() -> None:
    document = docx.Document()
    document.add_heading("The title", 0)
    document.add_paragraph("text")
    assert read(document) == ParsedDocument("The title", (Block("text", ("The title",)),))


def test_a_style_based_on_a_heading_is_a_heading() -> None:
    document = docx.Document()
    style = document.styles.add_style("Kapitel", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Chapter", style="Kapitel")
    document.add_paragraph("text")
    assert read(document).blocks == (Block("text", ("Chapter",)),)


def test_styles_based_on_each_other_are_no_headings() -> None:
    document = docx.Document()
    one, other = (document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH) for name in ("One", "Other"))
    one.base_style, other.base_style = other, one
    document.add_paragraph("text", style="One")
    assert read(document).blocks == (Block("text"),)


def test_cells_that_are_one_are_read_once_and_tables_within_cells_too() -> None:
    document = docx.Document()
    table = document.add_table(1, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    inner = table.cell(0, 2).add_table(1, 1)
    inner.cell(0, 0).text = "inner"
    assert [block.text for block in read(document).blocks] == ["wide | inner"]


def test_what_a_reader_sees_is_read() -> None:
    document = docx.Document()
    add(document, "<w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>")
    add(document, '<w:hyperlink><w:r><w:t xml:space="preserve">a link</w:t></w:r></w:hyperlink>')
    add(
        document,
        "<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>",
    )
    add(document, "<w:moveFrom><w:r><w:t>from</w:t></w:r></w:moveFrom><w:r><w:t>stays</w:t></w:r>")
    add(document, "<w:sdt><w:sdtContent><w:r><w:t>field</w:t></w:r></w:sdtContent></w:sdt>")
    assert [block.text for block in read(document).blocks] == [
        "one\ttwo\nthree",
        "a link",
        "new",
        "stays",
        "field",
    ]


def test_paragraphs_of_a_content_control_are_read() -> None:
    document = docx.Document()
    control = f"<w:sdt {WORD}><w:sdtContent><w:p><w:r><w:t>inside</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    document.element.body.insert(0, docx.oxml.parse_xml(control))
    assert read(document).blocks == (Block("inside"),)


def test_a_document_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(
        ParseError, match=r"^The Word document unpacks to \d+ bytes in \d+ files, at most 1000 "
    ):
        parse(word_document(), media_type=MediaType.DOCX, limits=ParseLimits(max_unpacked_bytes=1000))


def test_a_file_whose_main_part_is_no_document_is_refused() -> None:
    with pytest.raises(ParseError, match="damaged"):
        parse(word_document(parts={"word/document.xml": b"<a/>"}), media_type=MediaType.DOCX)
