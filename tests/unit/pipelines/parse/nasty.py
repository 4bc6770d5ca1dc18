"""Builds files that are broken, mis-named, or made to do harm, with what is to be said of each."""

import io
import zipfile
import zlib
from dataclasses import dataclass

import docx
import pypdf

from pipelines.parse import MediaType

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Nasty:
    """A file that must be refused.

    Attributes:
        name: What is wrong with it.
        reason: A pattern that the message must match.
    """

    name: str
    media_type: MediaType
    data: bytes
    reason: str


def nasty_files() -> list[Nasty]:
    """All of them. Some take a second to build."""
    return [*_misnamed(), *_texts(), *_tables(), *_jsons(), *_pages(), *_word_documents(), *_pdfs()]


def word_document(text: str = "text", *, parts: dict[str, bytes] | None = None) -> bytes:
    """A DOCX of one paragraph, with some of its files replaced or added."""
    document = docx.Document()
    document.add_paragraph(text)
    plain = io.BytesIO()
    document.save(plain)
    changed = dict(parts or {})
    packed = io.BytesIO()
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changed.pop(name) if name in changed else old.read(name))
        for name, content in changed.items():
            new.writestr(name, content)
    return packed.getvalue()


def pdf_of(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table)
    return bytes(out)


def pdf_with_content(stream: bytes, *, filters: bytes = b"/FlateDecode") -> bytes:
    """A PDF of one page, whose content is this stream, packed already."""
    return pdf_of(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter [%b] >>\nstream\n%b\nendstream" % (len(stream), filters, stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )


def pdf_with_text() -> bytes:
    """A PDF that says "text"."""
    return pdf_with_content(zlib.compress(b"BT /F1 12 Tf 72 700 Td (text) Tj ET"))


def _misnamed() -> list[Nasty]:
    pdf = pdf_with_text()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "text")
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    html = b"\xef\xbb\xbf\n<!DOCTYPE html><p>text"
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return [
        *(Nasty(f"nothing in it as {kind.name}", kind, b"", "^The file is empty") for kind in MediaType),
        *(
            Nasty(
                f"a PDF as {kind.name}", kind, pdf, r"^The file is a PDF, not .*; give it .* ends in \.pdf\.$"
            )
            for kind in MediaType
            if kind is not MediaType.PDF
        ),
        *(
            Nasty(f"a picture as {kind.name}", kind, png, "^The file is a PNG image, not ")
            for kind in MediaType
        ),
        Nasty("a web page as Markdown", MediaType.MARKDOWN, html, r"a web page, not Markdown text; .*\.html"),
        Nasty("a web page as PDF", MediaType.PDF, html, r"a web page, not a PDF"),
        Nasty("an archive as DOCX", MediaType.DOCX, archive.getvalue(), "a ZIP archive, not a Word document"),
        Nasty("an old or encrypted DOCX", MediaType.DOCX, ole, "password"),
        Nasty("text as DOCX", MediaType.DOCX, b"text", "it is no ZIP archive"),
        Nasty(
            "a DOCX as text", MediaType.TEXT, word_document(), r"a Word document, not plain text; .*\.docx"
        ),
    ]


def _texts() -> list[Nasty]:
    kinds = (MediaType.TEXT, MediaType.MARKDOWN, MediaType.CSV, MediaType.JSON, MediaType.JSONL)
    return [
        *(Nasty(f"zero bytes in {kind.name}", kind, b"a\0b,c", "^The file is not text") for kind in kinds),
        *(
            Nasty(f"broken UTF-16 in {kind.name}", kind, b"\xff\xfe\0\xd8a", "begins as UTF-16")
            for kind in kinds
        ),
        Nasty("only space", MediaType.TEXT, b" \n" * MIB, "no readable text"),
    ]


def _tables() -> list[Nasty]:
    wide = b"c" * 199
    return [
        Nasty("a field that never ends", MediaType.CSV, b'a,b\n1,"' + b"x," * MIB, "mark may not be closed"),
        Nasty(
            "names far longer than what they name",
            MediaType.CSV,
            b",".join(wide + b"%d" % at for at in range(9)) + b"\n" + b"1,2,3,4,5,6,7,8,9\n" * 100_000,
            "more than 20000000 characters",
        ),
        Nasty(
            "more rows than are read",
            MediaType.CSV,
            b"1\n" * (MIB + 2),
            "more than 1000000 paragraphs or records",
        ),
    ]


def _jsons() -> list[Nasty]:
    name = b'"' + b"n" * 900 + b'"'
    return [
        Nasty("no JSON", MediaType.JSON, b'{"a": }', "^The file is not JSON: line 1, column 7"),
        Nasty("a line that is no JSON", MediaType.JSONL, b'{"a": 1}\n{"a"\n', "^Line 2 is not JSON"),
        Nasty("deeper than the stack", MediaType.JSON, b"[" * MIB + b"]" * MIB, "nested deeper than 100"),
        Nasty(
            "deeper than is read", MediaType.JSON, b"[" * 200 + b"1" + b"]" * 200, "nested deeper than 100"
        ),
        Nasty(
            "a name above many values",
            MediaType.JSON,
            b"{" + name + b": [" + b'{"a":1},' * 100_000 + b"{}]," + name[:-1] + b'2": [{}]}',
            "more than 20000000 characters",
        ),
        Nasty(
            "a name without end",
            MediaType.JSON,
            b'{"' + b"n" * MIB + b'": [null, {}]}',
            "path of names of more than 1000",
        ),
        Nasty("only nulls", MediaType.JSON, b'{"a": [null, {}, ""]}', "no readable text"),
    ]


def _pages() -> list[Nasty]:
    fonts = b"".join(b"<font size=%d>" % at for at in range(6000))
    return [
        Nasty("a page without text", MediaType.HTML, b"<script>text</script>", "no readable text"),
        Nasty("elements a million deep", MediaType.HTML, b"<div>" * MIB + b"text", "s of CPU time"),
        Nasty(
            "elements that unfold",
            MediaType.HTML,
            b"<p>" + fonts + b"</p>" + b"<p>x</p>" * 6000,
            "MiB of memory|CPU time|brought the parser down",
        ),
    ]


def _word_documents() -> list[Nasty]:
    document = "word/document.xml"
    head = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    tail = b"</w:body></w:document>"
    entities = b'<!DOCTYPE d [<!ENTITY e0 "text">' + b"".join(
        b'<!ENTITY e%d "%b">' % (at, b"&e%d;" % (at - 1) * 10) for at in range(1, 10)
    )
    bomb = entities + b"]>" + head + b"<w:p><w:r><w:t>&e9;</w:t></w:r></w:p>" + tail
    whole = word_document()
    nested = head + b"<w:tbl><w:tr><w:tc>" * 100_000
    return [
        Nasty(
            "a zip bomb",
            MediaType.DOCX,
            word_document(parts={"word/media/a.png": bytes(20 * MIB)}),
            "unpacks to 2",
        ),
        Nasty(
            "many files",
            MediaType.DOCX,
            word_document(parts={f"word/media/{at}": b"x" for at in range(10_001)}),
            r"in 100\d\d files",
        ),
        Nasty(
            "an entity bomb",
            MediaType.DOCX,
            word_document(parts={document: bomb}),
            "declares XML entities|damaged",
        ),
        Nasty("elements too deep", MediaType.DOCX, word_document(parts={document: nested}), "damaged"),
        Nasty("half of a DOCX", MediaType.DOCX, whole[: len(whole) // 2], "no ZIP archive"),
        Nasty("a DOCX without a body", MediaType.DOCX, word_document(parts={document: b"<a/>"}), "damaged"),
        Nasty("a DOCX whose sizes lie", MediaType.DOCX, _with_lying_size(whole), "damaged"),
        Nasty("a DOCX with passwords", MediaType.DOCX, _marked_encrypted(whole), "protected"),
        Nasty("a DOCX without text", MediaType.DOCX, word_document(" "), "no readable text"),
    ]


def _with_lying_size(archive: bytes) -> bytes:
    """An archive whose directory says that each file has ten bytes, whatever it has."""
    data = bytearray(archive)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 24 : place + 28] = (10).to_bytes(4, "little")
        place = data.find(b"PK\x01\x02", place + 1)
    return bytes(data)


def _marked_encrypted(archive: bytes) -> bytes:
    data = bytearray(archive)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\x01\x02", place + 1)
    return bytes(data)


def _pdfs() -> list[Nasty]:
    show = b"BT /F1 12 Tf 72 700 Td (text) Tj ET\n"
    writer = pypdf.PdfWriter()
    writer.add_blank_page(width=612, height=792)
    writer.encrypt(user_password="secret", owner_password="owner", algorithm="RC4-128")
    locked = io.BytesIO()
    writer.write(locked)
    whole = pdf_with_text()
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    # Each level names the next ten times: ten thousand million pages.
    tree = [
        b"<< /Type /Pages /Kids [%b] /Count 10000000000 >>" % (b"%d 0 R " % (at + 1) * 10)
        for at in range(2, 12)
    ]
    return [
        Nasty("half of a PDF", MediaType.PDF, whole[: len(whole) // 2], "damaged"),
        Nasty("a PDF with a password", MediaType.PDF, locked.getvalue(), "protected"),
        Nasty(
            "a PDF without pages",
            MediaType.PDF,
            pdf_of(catalog, b"<< /Type /Pages /Kids [] /Count 0 >>"),
            "damaged",
        ),
        Nasty(
            "a PDF page tree that is a circle",
            MediaType.PDF,
            pdf_of(catalog, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
            "damaged",
        ),
        Nasty(
            "a PDF whose pages unfold",
            MediaType.PDF,
            pdf_of(catalog, *tree, b"<< /Type /Page >>"),
            "pages|damaged|CPU time|memory",
        ),
        Nasty(
            "a PDF that unfolds",
            MediaType.PDF,
            pdf_with_content(zlib.compress(b" " * (100 * MIB), 9)),
            "damaged|memory|no text",
        ),
        Nasty(
            "a PDF that unfolds twice",
            MediaType.PDF,
            pdf_with_content(
                zlib.compress(zlib.compress(bytes(100 * MIB), 9), 9), filters=b"/FlateDecode /FlateDecode"
            ),
            "damaged|memory|no text",
        ),
        Nasty(
            "a PDF with endless work",
            MediaType.PDF,
            pdf_with_content(zlib.compress(show * 1_000_000, 9)),
            "damaged|CPU time|memory|characters",
        ),
    ]
