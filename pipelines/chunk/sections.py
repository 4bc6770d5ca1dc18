"""What of a document lies under the same headings and on the same page: no chunk goes beyond it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pipelines.chunk.spans import Span, skip_space, trimmed
from pipelines.parse.document import Block, ParsedDocument
from vectoray.embedding.model import TokenCounter

# Headings say what a text is about; longer ones would only take its place in the vector.
_MAX_CONTEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks in a row that have the same headings and page.

    Attributes:
        span: Where they lie in the document's text, without space at either end.
        context: Those of their headings that are embedded with each chunk, on a line.
    """

    span: Span
    headings: tuple[str, ...]
    page: int | None
    context: str

    def embedded(self, text: str) -> str:
        """What a model reads of a chunk of the section that has this text."""
        return f"{self.context}\n{text}" if self.context else text


def sections(document: ParsedDocument, text: str, tokens: TokenCounter | None) -> Iterator[Section]:
    """The sections of a document whose text is ``text``, in order; none of them empty."""
    start = 0
    for (headings, page), blocks in groupby(document.blocks, key=_place):
        # A blank line lies between blocks.
        following = start + sum(len(block.text) + 2 for block in blocks)
        end = following - 2
        span = trimmed(text, skip_space(text, start, end), end)
        if span[0] < span[1]:
            yield Section(span, headings, page, _context(headings, tokens))
        start = following


def _place(block: Block) -> tuple[tuple[str, ...], int | None]:
    return block.headings, block.page


def _context(headings: tuple[str, ...], tokens: TokenCounter | None) -> str:
    """The innermost headings that leave at least half of what the model reads to the text."""
    for outermost in range(len(headings)):
        context = " > ".join(headings[outermost:])
        if len(context) <= _MAX_CONTEXT_CHARS and (
            tokens is None or tokens.count_tokens([context])[0] <= tokens.max_tokens // 2
        ):
            return context
    return ""
