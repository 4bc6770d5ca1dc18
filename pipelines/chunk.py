"""Cuts a parsed document into chunks that an embedding model can read whole."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pipelines.parse.document import ParsedDocument
from vectoray.core.errors import InvalidRequest

# Full stops of scripts without spaces end a sentence by themselves.
_SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*(?=\s)|[。！？]""")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    Attributes:
        index: Position in the document, from 0.
        text: Not empty, without space at either end.
        headings: The headings above it, outermost first.
        page: Page number from 1, where the document has pages.
    """

    index: int
    text: str
    headings: tuple[str, ...]
    page: int | None


def chunk(document: ParsedDocument, *, max_chars: int = 900, overlap_chars: int = 100) -> list[Chunk]:
    """Cut a document into chunks; the same document always gives the same chunks.

    A chunk stays under its headings and on its page. It ends at the last paragraph, else the last sentence,
    of its second half, else after a word; only a word longer than ``max_chars`` is cut itself.

    Args:
        document: What to cut.
        max_chars: Length of a chunk at most.
        overlap_chars: How much a chunk repeats of the one before, at most; it begins with a whole sentence
            if one fits, else with a whole word.

    Raises:
        InvalidRequest: ``max_chars`` is not positive, or ``overlap_chars`` not from 0 to below it.
    """
    if not 0 <= overlap_chars < max_chars:
        raise InvalidRequest(
            f"The overlap of chunks must be from 0 to below their size of {max_chars} characters, "
            f"it is {overlap_chars}.",
            {"max_chars": max_chars, "overlap_chars": overlap_chars},
        )
    chunks: list[Chunk] = []
    for (headings, page), blocks in groupby(document.blocks, key=lambda block: (block.headings, block.page)):
        section = "\n\n".join(block.text for block in blocks)
        for start, end in _spans(section, max_chars, overlap_chars):
            chunks.append(Chunk(len(chunks), section[start:end].strip(), headings, page))
    return chunks


def _spans(text: str, max_chars: int, overlap_chars: int) -> Iterator[tuple[int, int]]:
    """Where each chunk of a section starts and ends."""
    start = done = _skip_space(text, 0)
    while done < len(text):
        limit = start + max_chars
        if limit >= len(text):
            end = len(text)
        elif (found := _break(text, start, limit, after=done)) is not None:
            end = found
        elif start < done:
            # What is repeated leaves too little room for the next word: repeat nothing.
            start = done
            continue
        else:
            end = limit
        yield start, end
        done = _skip_space(text, end)
        start = min(_overlap_start(text, max(end - overlap_chars, start + 1), end), done)


def _break(text: str, start: int, limit: int, *, after: int) -> int | None:
    """The best end of a chunk from ``start``, beyond ``after`` and not beyond ``limit``, if there is one."""
    middle = max(start + (limit - start) // 2, after + 1)
    paragraph = text.rfind("\n\n", middle, limit + 2)
    if paragraph >= 0:
        return paragraph
    sentences = [match.end() for match in _SENTENCE_END.finditer(text, middle, limit + 1)]
    for end in reversed(sentences):
        if end <= limit:
            return end
    return next((at for at in range(limit, after, -1) if text[at].isspace()), None)


def _overlap_start(text: str, earliest: int, end: int) -> int:
    """Where the chunk after ``end`` starts: with a whole sentence or word, not before ``earliest``."""
    for match in _SENTENCE_END.finditer(text, earliest, end):
        start = _skip_space(text, match.end())
        if start < end:
            return start
    at = earliest
    if not text[at - 1].isspace():
        while at < end and not text[at].isspace():
            at += 1
    return _skip_space(text, at)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
