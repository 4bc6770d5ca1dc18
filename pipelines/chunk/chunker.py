"""Cuts a parsed document into chunks: by headings and pages, then by size, then by what a model reads."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.chunk.packing import pack
from pipelines.chunk.sections import sections
from pipelines.chunk.token_limit import Piece, within_tokens
from pipelines.chunk.units import SPLITTERS
from pipelines.parse.document import ParsedDocument
from vectoray.core.ingestion import Chunking
from vectoray.embedding.model import TokenCounter


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    Attributes:
        index: Position in the document, from 0.
        text: Not empty, without space at either end: ``document.text[start:end]``.
        start: Its first character in the document's text.
        end: The one after its last.
        headings: The headings above it, outermost first.
        page: Page number from 1, where the document has pages.
        embedded: What the model reads: the text below a line with those of its headings that leave it room.
    """

    index: int
    text: str
    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None
    embedded: str


def chunk(document: ParsedDocument, chunking: Chunking, *, tokens: TokenCounter | None = None) -> list[Chunk]:
    """Cut a document into chunks; the same document always gives the same chunks, in linear time.

    A chunk stays under its headings and on its page. The text falls into units: words, sentences or
    paragraphs, as the strategy says. A unit that is too long for a chunk falls into finer ones, down to
    characters; so many units in a row as fit make a chunk, and no unit that fits is ever cut.

    A chunk repeats the last units of the one before, up to ``overlap_chars`` and to half a chunk; if the last
    is too long for that, the last sentences of it, else words.

    Args:
        document: What to cut.
        chunking: Where, and how long.
        tokens: Counts the tokens that the embedding model reads. No chunk then has more than it reads,
            headings included; one that would is cut into parts of about one length.
    """
    text = document.text
    splitters = SPLITTERS[chunking.strategy]
    overlap_chars = chunking.overlap_chars
    pieces: Iterable[Piece] = (
        (section, span)
        for section in sections(document, text, tokens)
        for span in pack(
            text, section.span, splitters, size_chars=chunking.size_chars, overlap_chars=overlap_chars
        )
    )
    if tokens is not None:
        pieces = within_tokens(text, pieces, splitters, overlap_chars=overlap_chars, tokens=tokens)
    chunks: list[Chunk] = []
    done = 0
    for section, (start, end) in pieces:
        # Of a piece that is cut again for its tokens, a first part may lie in what the piece only repeats.
        if end <= done:
            continue
        own = text[start:end]
        chunks.append(
            Chunk(len(chunks), own, start, end, section.headings, section.page, section.embedded(own))
        )
        done = end
    return chunks
