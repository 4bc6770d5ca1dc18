"""Real text for the benchmarks: documentation installed on this machine, in short chunks, embedded once.

Uniform random vectors hide recall problems, and are harder for a graph than any text; these are neither.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.chunk import chunk
from pipelines.parse import ParseError, media_type_of, parse
from vectoray.core.ingestion import Chunking, ChunkingStrategy
from vectoray.core.model import FloatMatrix
from vectoray.embedding import ModelRegistry

SOURCES = (Path("/usr/share/doc/python3.11/html"), Path("/usr/share/doc/postgresql-doc-15/html"))
CACHE = Path(".bench")
_MODEL = "all-MiniLM-L6-v2"
_CHUNKING = Chunking(ChunkingStrategy.PARAGRAPH, size_chars=250, overlap_chars=0)
_BATCH = 512


@dataclass(frozen=True, slots=True)
class TextVectors:
    """Chunks of real documents.

    Attributes:
        texts: The chunks, all different.
        files: For each chunk, the file it is from.
        vectors: float32, shape (n, 384), unit length.
    """

    texts: list[str]
    files: list[str]
    vectors: FloatMatrix


def text_vectors(rows: int, sources: tuple[Path, ...] = SOURCES) -> TextVectors:
    """At most this many chunks with their vectors; embedded the first time, then read from ``.bench``.

    Raises:
        SystemExit: No documents are installed; the message says which packages have some.
    """
    stored = CACHE / "text-vectors.npy"
    described = CACHE / "text-vectors.json"
    if not (stored.exists() and described.exists() and len(np.load(stored, mmap_mode="r")) >= rows):
        _embed(rows, sources, stored, described)
    description = json.loads(described.read_text())
    vectors = np.load(stored)[:rows]
    return TextVectors(description["texts"][:rows], description["files"][:rows], vectors)


def _embed(rows: int, sources: tuple[Path, ...], stored: Path, described: Path) -> None:
    chunks = list(_chunks(rows, sources))
    if not chunks:
        sys.exit(
            "No documents to embed: install the Debian packages python3.11-doc and postgresql-doc-15, or "
            "name folders of HTML with --documents."
        )
    CACHE.mkdir(exist_ok=True)
    model = ModelRegistry().load(_MODEL, cache_dir=CACHE / "models", threads=1)
    vectors = np.empty((len(chunks), model.dimension), dtype=np.float32)
    for start in range(0, len(chunks), _BATCH):
        part = [text for text, _ in chunks[start : start + _BATCH]]
        vectors[start : start + len(part)] = model.embed(part)
        print(f"\rEmbedding documents: {start + len(part)} of {len(chunks)} chunks", end="", file=sys.stderr)
    print(file=sys.stderr)
    np.save(stored, vectors)
    described.write_text(
        json.dumps({"texts": [text for text, _ in chunks], "files": [name for _, name in chunks]})
    )


def _chunks(rows: int, sources: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for source in sources:
        for path in sorted(source.rglob("*.html")):
            kind = media_type_of(path)
            if kind is None:
                continue
            try:
                document = parse(path.read_bytes(), media_type=kind)
            except ParseError:
                continue
            for piece in chunk(document, _CHUNKING):
                if len(piece.text) > _CHUNKING.size_chars // 5 and piece.text not in seen:
                    seen.add(piece.text)
                    yield piece.text, str(path.relative_to(source))
                    if len(seen) == rows:
                        return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--documents", type=Path, nargs="*", default=list(SOURCES))
    options = parser.parse_args()
    print(len(text_vectors(options.rows, tuple(options.documents)).texts), "chunks")
