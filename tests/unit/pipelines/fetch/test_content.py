"""What a page is, whatever its server says."""

import codecs
import io
import pickle
import time
import zipfile

import pytest

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page
from pipelines.fetch.content import (
    BINARY,
    CSV,
    DOCX,
    HTML,
    JSON,
    JSONL,
    MARKDOWN,
    PDF,
    TEXT,
    XML,
    charset,
    media_type,
)
from tests.unit.pipelines.fetch.site import Site, response

PAGE = b"<!DOCTYPE html><title>A page</title>"
PDF_FILE = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


def zip_with(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "<w:document/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("told", "body", "path", "is_really"),
    [
        # The server is right.
        ("text/html; charset=utf-8", b"<p>Just a part.", "/", HTML),
        ("TEXT/HTML", PAGE, "/a.pdf", HTML),
        ("application/xhtml+xml", b'<?xml version="1.0"?><html xmlns="x">', "/", HTML),
        ("text/plain", b"Words.", "/", TEXT),
        ("text/markdown", b"# Title", "/", MARKDOWN),
        ("text/x-markdown", b"<html>in Markdown", "/", MARKDOWN),
        ("application/json", b'{"a": 1}', "/", JSON),
        ("application/ld+json", b"{}", "/", JSON),
        ("application/x-ndjson", b"{}\n{}", "/", JSONL),
        ("text/csv", b"a,b", "/", CSV),
        ("application/rss+xml", b"<?xml version='1.0'?><rss>", "/", XML),
        ("application/pdf", PDF_FILE, "/", PDF),
        (DOCX, zip_with("word/document.xml"), "/", DOCX),
        ("image/svg+xml", b"<svg/>", "/", "image/svg+xml"),
        ("application/wasm", b"\0asm\1\0\0\0", "/", "application/wasm"),
        # HTML by other names, or none.
        ("text/plain", PAGE, "/", HTML),
        ("application/octet-stream", PAGE, "/a.bin", HTML),
        ("", PAGE, "/", HTML),
        ("application/pdf", PAGE, "/a.pdf", HTML),
        ("image/png", PAGE, "/", HTML),
        ("text/xml", b"<?xml version='1.0'?>\n<!-- x -->\n<html>", "/", HTML),
        ("", b"  \n<!-- by hand -->\n<HTML>", "/", HTML),
        ("application/octet-stream", b"<div>Part</div>", "/", HTML),
        ("", codecs.BOM_UTF16_LE + "<html>".encode("utf-16-le"), "/", HTML),
        ("", codecs.BOM_UTF8 + b"<html>", "/", HTML),
        # Not HTML, though it looks a little like it.
        ("text/plain", b"<h1 align=center>Name</h1>\n\n# Title", "/README.md", MARKDOWN),
        ("text/plain", b"<p>An example of HTML", "/", TEXT),
        ("text/plain", b"<htmlish>", "/", TEXT),
        ("application/json", b'"<html>"', "/", JSON),
        # Other files by other names.
        ("text/html", PDF_FILE, "/", PDF),
        ("text/plain", b"\n\n" + PDF_FILE, "/", PDF),
        ("application/octet-stream", PDF_FILE, "/", PDF),
        ("application/zip", zip_with("word/document.xml"), "/", DOCX),
        (DOCX, zip_with("other.txt"), "/", "application/zip"),
        ("text/html", b"\x89PNG\r\n\x1a\n\0\0", "/", "image/png"),
        ("text/html", b"\0\1\2\3", "/", BINARY),
        ("application/pdf", b"\0\1\2\3", "/", BINARY),
        ("", b"\0\1\2\3", "/a.md", BINARY),
        # The server knows nothing; the name helps.
        ("application/octet-stream", b"# Title", "/a.md", MARKDOWN),
        ("text/plain", b'{"a": 1}', "/a.json", JSON),
        ("text/plain", b"{}", "/a.JSONL", JSONL),
        ("binary/octet-stream", b"a,b", "/a.csv", CSV),
        ("", b"Words.", "/a.pdf", TEXT),
        ("application/pdf", b"Words.", "/a.pdf", TEXT),
        ("", b"Words.", "/a.html", TEXT),
    ],
)
def test_bytes_go_before_the_server_before_the_name(
    told: str, body: bytes, path: str, is_really: str
) -> None:
    assert media_type(told, body, path) == is_really


@pytest.mark.parametrize(
    ("told", "body", "name"),
    [
        ("text/html; charset=UTF-8", b"a", "utf-8"),
        ('text/html; charset="iso-8859-1"', b"a", "iso8859-1"),
        ("text/html;charset=Shift_JIS; x=y", b"a", "shift_jis"),
        ("text/html; charset=utf-8", codecs.BOM_UTF16_BE + b"\0a", "utf-16"),
        ("text/html; charset=latin-1", codecs.BOM_UTF8 + b"a", "utf-8-sig"),
        ("text/html", b"a", None),
        ("", b"a", None),
        ("text/html; charset=", b"a", None),
        ("text/html; charset=klingon", b"a", None),
        ("text/html; charset=hex", b"a", None),
        ("text/html; charset=idna", b"a", None),
        ("text/html; charset=unicode_escape", b"a", None),
        ("text/html; charset=utf-7", b"a", None),
        ("text/html; charset=a\0b", b"a", None),
        ("text/html; charset=\udcff", b"a", None),
    ],
)
def test_a_byte_order_mark_goes_before_the_header(told: str, body: bytes, name: str | None) -> None:
    assert charset(told, body) == name


def test_a_page_full_of_comments_is_looked_at_in_no_time() -> None:
    started_s = time.process_time()
    assert media_type("", b"<!---->" * 10_000, "/") == TEXT
    assert time.process_time() - started_s < 1


async def test_a_fetched_page_says_what_it_is(site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = response(PAGE, Content_Type="text/plain; charset=ISO-8859-1")
    found = await fetcher.fetch(site.url("/"))
    assert isinstance(found, Page)
    assert (found.media_type, found.charset, found.body) == (HTML, "iso8859-1", PAGE)


def test_errors_cross_processes() -> None:
    error = FetchError.of(FetchFailure.NOT_FOUND, "Page not found (404).")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.reason, copy.message) == (error.reason, error.message)
