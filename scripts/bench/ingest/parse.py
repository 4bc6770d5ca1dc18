"""How fast documents are read: pages a second of CPU time, with the limits that ingestion reads with.

``python -m scripts.bench.ingest.parse [FOLDER]`` prints it for the HTML files below a folder, and for PDFs
that are made of their text.
"""

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pipelines.parse import MediaType, ParseError, parse
from pipelines.parse.isolated import IsolatedParser
from pipelines.parse.settings import ParseSettings
from scripts.bench.ingest.text_pdf import PAGE_CHARS, text_pdf

DEFAULT_FOLDER = Path("/usr/share/doc")
_PAGES_OF_A_PDF = 20
_MAX_FILE_BYTES = 64 * 2**20


def html_files(folder: Path, *, count: int) -> list[bytes]:
    """Up to so many HTML files below a folder, evenly taken from all of them."""
    paths = sorted(path for path in folder.rglob("*.html") if path.is_file())
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]


def pdf_files(pages: Sequence[bytes], *, count: int) -> list[bytes]:
    """Up to so many PDFs, of twenty full pages each, with the text of these HTML files."""
    texts = []
    for page in pages:
        try:
            texts.append(parse(page, media_type=MediaType.HTML).text)
        except ParseError:
            continue
    text = "\n".join(texts)
    chars = PAGE_CHARS * _PAGES_OF_A_PDF
    return [text_pdf(text[start : start + chars]) for start in islice(range(0, len(text), chars), count)]


def html_pages_per_s(files: Sequence[bytes]) -> float:
    """HTML files in a second of CPU time; those without text count too."""
    return len(files) / _cpu_s(files, MediaType.HTML)


def pdf_pages_per_s(files: Sequence[bytes]) -> float:
    """Pages in a second of CPU time; the last page of each must have text."""
    documents = [parse(file, media_type=MediaType.PDF) for file in files]
    pages = sum(max(block.page or 0 for block in document.blocks) for document in documents)
    return pages / _cpu_s(files, MediaType.PDF)


def _cpu_s(files: Sequence[bytes], media_type: MediaType) -> float:
    """CPU time from the files' bytes to documents here, with the start of the process that reads them."""
    before_s = _used_s()
    with IsolatedParser(ParseSettings(processes=1), max_file_bytes=_MAX_FILE_BYTES) as parser:
        for file in files:
            with suppress(ParseError):
                parser.parse(file, media_type=media_type)
    return _used_s() - before_s


def _used_s() -> float:
    """CPU time of this process and those that it has started and ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> None:
    """Measure, and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    pages = html_files(arguments.parse_args().folder, count=500)
    if not pages:
        raise SystemExit("There are no HTML files; name a folder that has some.")
    print(f"HTML: {html_pages_per_s(pages):.0f} pages/s of {len(pages)}")
    files = pdf_files(pages, count=10)
    print(f"PDF: {pdf_pages_per_s(files):.0f} pages/s of {len(files)} files")


if __name__ == "__main__":
    main()
