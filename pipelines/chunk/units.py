"""What a chunk is made of: paragraphs, sentences, lines, words, and characters as a reader sees them."""

import re
from collections.abc import Callable, Iterator, Sequence

import regex

from pipelines.chunk.sentences import sentences
from pipelines.chunk.spans import Span, trimmed
from vectoray.core.ingestion import ChunkingStrategy

Splitter = Callable[[str, int, int], Iterator[Span]]
"""Takes a text, and the start and end of what lies in it without space at either end; gives parts of that,
in order, without space at either end."""

_BLANK_LINES = re.compile(r"\n\s*\n\s*")
_LINE_ENDS = re.compile(r"\n\s*")
_WORD = re.compile(r"\S+")
# Extended grapheme clusters (Unicode Standard Annex 29): a letter with its accents, a flag, a family.
_GRAPHEME = regex.compile(r"\X")


def _paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    return _parted(_BLANK_LINES, text, start, end)


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    return _parted(_LINE_ENDS, text, start, end)


def _parted(separator: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Span]:
    at = start
    for match in separator.finditer(text, start, end):
        yield trimmed(text, at, match.start())
        at = match.end()
    yield at, end


def _words(text: str, start: int, end: int) -> Iterator[Span]:
    return (match.span() for match in _WORD.finditer(text, start, end))


def _graphemes(text: str, start: int, end: int) -> Iterator[Span]:
    return (match.span() for match in _GRAPHEME.finditer(text, start, end))


def _code_points(text: str, start: int, end: int) -> Iterator[Span]:  # noqa: ARG001
    return ((at, at + 1) for at in range(start, end))


_INTO_WORDS = (_words, _graphemes, _code_points)
_INTO_SENTENCES = (sentences, _lines, *_INTO_WORDS)

SPLITTERS: dict[ChunkingStrategy, tuple[Splitter, ...]] = {
    ChunkingStrategy.FIXED_SIZE: _INTO_WORDS,
    ChunkingStrategy.SENTENCE: _INTO_SENTENCES,
    ChunkingStrategy.PARAGRAPH: (_paragraphs, *_INTO_SENTENCES),
}
"""How a strategy takes a text apart, coarsest first."""


def units(text: str, span: Span, splitters: Sequence[Splitter], size_chars: int) -> Iterator[Span]:
    """The coarsest parts of a text that are no longer than ``size_chars``, in order.

    Args:
        text: The document's.
        span: What of it, without space at either end.
        splitters: Coarsest first; the last one gives single code points.
        size_chars: Length of a part at most.
    """
    split, *finer = splitters
    for start, end in split(text, *span):
        if end - start <= size_chars or not finer:
            yield start, end
        else:
            yield from units(text, (start, end), finer, size_chars)


def inner_starts(text: str, unit: Span, splitters: Sequence[Splitter]) -> Iterator[int]:
    """Where parts of a unit start, the coarsest kind first; words are not taken apart."""
    for split in splitters:
        if split is _graphemes:
            return
        yield from (start for start, _ in split(text, *unit))
