"""Reads one sitemap: XML, or a URL a line; packed with gzip or not. Knows no network."""

import io
import zlib
from collections.abc import Iterator
from typing import Literal
from xml.etree.ElementTree import ParseError as XmlError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vectoray.core.errors import InvalidRequest

Kind = Literal["page", "sitemap"]
Entry = tuple[Kind, str]

_GZIP = b"\x1f\x8b"
_KINDS: dict[str, Kind] = {"urlset": "page", "sitemapindex": "sitemap"}
_PART_BYTES = 65_536
# Deeper than extensions of sitemaps go. The parser keeps something of each open element.
_MAX_DEPTH = 32


def read_sitemap(data: bytes, *, max_bytes: int) -> Iterator[Entry]:
    """The URLs in a sitemap as written, each with what is there: a page, or another sitemap.

    Raises:
        InvalidRequest: It is no sitemap, is damaged, or is larger than ``max_bytes`` unpacked. The URLs
            before the damage are given.
    """
    if data.startswith(_GZIP):
        data = _unpacked(data, max_bytes)
    if len(data) > max_bytes:
        raise InvalidRequest(f"The sitemap is larger than {max_bytes} bytes.")
    if data[:1024].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
        yield from _in_xml(data)
    else:
        yield from _in_lines(data)


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(data, max_bytes + 1)
    except zlib.error:
        raise InvalidRequest("The sitemap is damaged: it is not valid gzip.") from None
    if len(unpacked) <= max_bytes and not unpacker.eof:
        raise InvalidRequest("The sitemap is damaged: its end is missing.")
    return unpacked


class _Locations:
    """Collects the ``loc`` elements of a sitemap, without a tree: a site may make one of any size."""

    def __init__(self) -> None:
        self.found: list[Entry] = []
        self._kind: Kind = "page"
        self._depth = 0
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: object) -> None:  # noqa: ARG002
        name = tag.rpartition("}")[2]
        self._depth += 1
        if self._depth == 1:
            if name not in _KINDS:
                raise InvalidRequest("Not a sitemap: its root is neither a 'urlset' nor a 'sitemapindex'.")
            self._kind = _KINDS[name]
        elif self._depth > _MAX_DEPTH:
            raise InvalidRequest("Not a sitemap: its elements are nested too deeply.")
        elif self._depth == 3 and name == "loc":
            self._text = []

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:  # noqa: ARG002
        if self._depth == 3 and self._text is not None:
            self.found.append((self._kind, "".join(self._text).strip()))
            self._text = None
        self._depth -= 1

    def close(self) -> None:
        """Say nothing more; the parser wants to tell."""


def _in_xml(data: bytes) -> Iterator[Entry]:
    locations = _Locations()
    # A document type is where the entities of XML bombs are declared; no sitemap has one.
    parser = DefusedXMLParser(target=locations, forbid_dtd=True)
    try:
        for start in range(0, len(data), _PART_BYTES):
            parser.feed(data[start : start + _PART_BYTES])
            yield from locations.found
            locations.found.clear()
        parser.close()
    except (XmlError, DefusedXmlException, LookupError):
        raise InvalidRequest("The sitemap is damaged: it is not valid XML, or has a document type.") from None
    yield from locations.found


def _in_lines(data: bytes) -> Iterator[Entry]:
    for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="replace"):
        if line.strip():
            yield "page", line.strip()
