"""Makes a PDF of a text, set as word processors do: each line is words with the space between them told."""

import zlib

LINES = 54
COLUMNS = 92
PAGE_CHARS = LINES * COLUMNS
"""Characters that fill a page."""

_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def text_pdf(text: str) -> bytes:
    """As many full pages as the text takes; characters that the font lacks become question marks."""
    characters = " ".join(text.split()).encode("cp1252", "replace")
    pages = [characters[start : start + PAGE_CHARS] for start in range(0, len(characters), PAGE_CHARS)]
    kids = b" ".join(b"%d 0 R" % (4 + 2 * at) for at in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d /MediaBox [0 0 595 842] >>" % (kids, len(pages)),
        _FONT,
    ]
    for page in pages:
        objects += [
            b"<< /Type /Page /Parent 2 0 R /Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            % (len(objects) + 2),
            _stream(page),
        ]
    return _file(objects)


def _stream(page: bytes) -> bytes:
    lines = [b"BT /F1 10 Tf 14 TL 50 800 Td"]
    for start in range(0, len(page), COLUMNS):
        words = page[start : start + COLUMNS].split(b" ")
        lines.append(b"[%b] TJ T*" % b" -278 ".join(b"(%b)" % _escaped(word) for word in words))
    packed = zlib.compress(b"\n".join([*lines, b"ET"]))
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed)


def _escaped(word: bytes) -> bytes:
    return word.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: list[bytes]) -> bytes:
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
