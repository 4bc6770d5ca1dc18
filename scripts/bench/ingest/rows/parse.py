"""Row: how fast documents are read, in processes of their own as in ingestion."""

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.documents import NoDocuments
from scripts.bench.ingest.parse import (
    DEFAULT_FOLDER,
    html_files,
    html_pages_per_s,
    pdf_files,
    pdf_pages_per_s,
)
from scripts.bench.measurement import Figure, Measurement

_HTML_PER_S, _PDF_PER_S = 300, 25
_HTML_FILES, _PDF_FILES = 500, 10


def measure_parse(bench: Bench) -> Measurement:
    """Pages in a second of processor time, so that other load does not count."""
    pages = html_files(DEFAULT_FOLDER, count=bench.scaled(_HTML_FILES, least=50))
    if not pages:
        raise NoDocuments(f"there are no web pages below {DEFAULT_FOLDER}")
    files = pdf_files(pages, count=bench.scaled(_PDF_FILES, least=1))
    mean_kb = sum(map(len, pages)) / len(pages) / 1000
    return Measurement(
        "parse",
        (
            Figure("parse: HTML, a core", _HTML_PER_S, html_pages_per_s(pages), "pages/s"),
            Figure("... PDF, a core", _PDF_PER_S, pdf_pages_per_s(files), "pages/s"),
        ),
        (f"{len(pages)} HTML files, {mean_kb:.0f} kB on average; {len(files)} PDFs of up to 20 full pages",),
    )
