"""What kind of file it is: by its name, and whether its content agrees."""

from pathlib import PurePath

from pipelines.parse.document import MediaType, ParseError

SUFFIXES = {
    ".html": MediaType.HTML,
    ".htm": MediaType.HTML,
    ".xhtml": MediaType.HTML,
    ".md": MediaType.MARKDOWN,
    ".markdown": MediaType.MARKDOWN,
    ".txt": MediaType.TEXT,
    ".text": MediaType.TEXT,
    ".pdf": MediaType.PDF,
    ".docx": MediaType.DOCX,
    ".csv": MediaType.CSV,
    ".tsv": MediaType.CSV,
    ".json": MediaType.JSON,
    ".jsonl": MediaType.JSONL,
    ".ndjson": MediaType.JSONL,
}
"""Endings of file names, in lower case."""

NAMES = {
    MediaType.HTML: "a web page",
    MediaType.MARKDOWN: "Markdown text",
    MediaType.TEXT: "plain text",
    MediaType.PDF: "a PDF",
    MediaType.DOCX: "a Word document",
    MediaType.CSV: "a CSV table",
    MediaType.JSON: "JSON",
    MediaType.JSONL: "lines of JSON",
}
"""How to call a file of each kind in a sentence."""

_ZIP = b"PK\x03\x04"
_DOCX_PART = b"word/document"

_OFFICE_PARTS = (
    (b"xl/workbook", "an Excel workbook"),
    (b"ppt/presentation", "a PowerPoint presentation"),
    (b"content.xml", "an OpenDocument file"),
    (b"META-INF/container.xml", "an e-book"),
)

# Formats that are not read, and are no text whatever their name says.
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file of before 2007 or one with a password"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an XZ archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"{\\rtf", "an RTF document"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\x00", "an SQLite database"),
)

_TEXTUAL = frozenset(MediaType) - {MediaType.PDF, MediaType.DOCX}


def media_type_of(path: PurePath) -> MediaType | None:
    """The kind of file by its name's ending; None if it is none that `parse` reads."""
    return SUFFIXES.get(path.suffix.lower())


def media_type_by_content(data: bytes) -> MediaType | None:
    """The kind of file by its first bytes, where these leave no doubt: a PDF, a Word document, a web page."""
    if data.startswith(b"%PDF-"):
        return MediaType.PDF
    if data.startswith(_ZIP):
        return MediaType.DOCX if _DOCX_PART in data else None
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return MediaType.HTML
    return None


def check_content(data: bytes, media_type: MediaType) -> None:
    """Refuse a file whose content is evidently of another kind than ``media_type``.

    Raises:
        ParseError: It says what the file is, and what to do.
    """
    if not data:
        raise ParseError("The file is empty: there is no readable text.")
    found = media_type_by_content(data)
    if found is not None and found is not media_type:
        raise ParseError(
            f"The file is {NAMES[found]}, not {NAMES[media_type]}; "
            f"give it a name that ends in {_ending_of(found)}."
        )
    if found is None:
        _refuse_foreign(data, media_type)


def _refuse_foreign(data: bytes, media_type: MediaType) -> None:
    foreign = next((name for magic, name in _FOREIGN if data.startswith(magic)), None)
    if foreign is None and data.startswith(_ZIP):
        foreign = next((name for part, name in _OFFICE_PARTS if part in data), "a ZIP archive")
    # A text may begin with the letters by which another format is known.
    if foreign is not None and (media_type not in _TEXTUAL or not _reads_as_text(data[:1024])):
        raise ParseError(f"The file is {foreign}, not {NAMES[media_type]}; {_remedy(foreign)}.")


def _reads_as_text(start: bytes) -> bool:
    return start.isascii() and b"\0" not in start and start[:1].isalpha()


def _remedy(foreign: str) -> str:
    if "archive" in foreign:
        return "unpack it and send the documents in it"
    if "Office" in foreign:
        return "save it as .docx without a password"
    return "convert it to a format that is read"


def _ending_of(media_type: MediaType) -> str:
    return next(suffix for suffix, kind in SUFFIXES.items() if kind is media_type)
