"""Documents to ingest, made of the documentation that is installed on this machine."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.chunk import chunk
from pipelines.parse import MediaType, ParseError, parse
from scripts.bench.text_vectors import SOURCES
from vectoray.core.ingestion import Chunking, ChunkingStrategy
from vectoray.embedding import ModelRegistry

MODEL = "all-MiniLM-L6-v2"
# Chunks of about 200 tokens; larger ones would often be cut, since the model reads 256.
CHUNKING = Chunking(ChunkingStrategy.SENTENCE, size_chars=930, overlap_chars=50)
SETTINGS = {
    "VECTORAY_PIPELINES__CHUNKING__STRATEGY": CHUNKING.strategy.value,
    "VECTORAY_PIPELINES__CHUNKING__SIZE_CHARS": str(CHUNKING.size_chars),
    "VECTORAY_PIPELINES__CHUNKING__OVERLAP_CHARS": str(CHUNKING.overlap_chars),
}
"""What a server must be told to cut documents like `CHUNKING`."""


class NoDocuments(Exception):
    """There is nothing to ingest on this machine; the message says how to get some."""


@dataclass(frozen=True, slots=True)
class Documents:
    """A folder of documents.

    Attributes:
        folder: Of files only.
        count: How many files.
        chunks: How many points they become.
        texts: What is embedded of them, each text once.
        mean_tokens: Of these texts.
    """

    folder: Path
    count: int
    chunks: int
    texts: Sequence[str]
    mean_tokens: float

    def sample(self, count: int) -> list[str]:
        """So many of the texts, evenly taken from all of them; all where they are fewer."""
        step = max(1, len(self.texts) // count)
        return list(self.texts[::step][:count])


def text_documents(into: Path, *, chunks: int, sources: Sequence[Path] = SOURCES) -> Documents:
    """Write the text of web pages into a folder, a plain text file a page, until there are enough.

    Args:
        into: An empty or missing folder.
        chunks: How many different chunks the files must have at least, if the sources have as many.
        sources: Folders of HTML.

    Raises:
        NoDocuments: The sources have no text.
    """
    tokens = ModelRegistry().token_counter(MODEL)
    into.mkdir(parents=True, exist_ok=True)
    # In the order of their first occurrence.
    texts: dict[str, None] = {}
    files = points = 0
    for page in _pages(sources):
        try:
            text = parse(page.read_bytes(), media_type=MediaType.HTML).text.encode()
        except ParseError:
            continue
        pieces = chunk(parse(text, media_type=MediaType.TEXT), CHUNKING, tokens=tokens)
        (into / f"{files:06}-{page.stem}.txt").write_bytes(text)
        files += 1
        points += len(pieces)
        texts.update(dict.fromkeys(piece.embedded for piece in pieces))
        if len(texts) >= chunks:
            break
    if not texts or tokens is None:
        raise NoDocuments(
            "there are no documents: install the Debian packages python3.11-doc and postgresql-doc-15"
        )
    mean = sum(tokens.count_tokens(list(texts))) / len(texts)
    return Documents(into, files, points, list(texts), mean)


def page_copies(into: Path, *, size_bytes: int, sources: Sequence[Path] = SOURCES) -> tuple[int, int]:
    """Fill a folder with web pages, all of them again and again under other names, up to a size.

    Copies are links to one file, so that the disk has room for them.

    Returns:
        How many files there are now, and their bytes.

    Raises:
        NoDocuments: The sources have no web pages.
    """
    into.mkdir(parents=True, exist_ok=True)
    pages = _pages(sources)
    if not pages:
        raise NoDocuments(
            "there are no web pages: install the Debian packages python3.11-doc and postgresql-doc-15"
        )
    files = total = 0
    while total < size_bytes:
        page = pages[files % len(pages)]
        first, copy = into / f"{files % len(pages):06}.html", into / f"{files:06}.html"
        if files < len(pages):
            shutil.copyfile(page, copy)
        else:
            os.link(first, copy)
        files += 1
        total += copy.stat().st_size
    return files, total


def _pages(sources: Sequence[Path]) -> list[Path]:
    """All web pages that are not empty, in an order that is random and always the same."""
    pages = [page for source in sources for page in sorted(source.rglob("*.html")) if page.stat().st_size]
    return [pages[at] for at in np.random.default_rng(7).permutation(len(pages))]
