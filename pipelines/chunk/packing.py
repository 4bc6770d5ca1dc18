"""Packs units of text into chunks, as many in a row as fit. Knows no documents and no tokens."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from pipelines.chunk.spans import Span
from pipelines.chunk.units import Splitter, inner_starts, units


def pack(
    text: str, span: Span, splitters: Sequence[Splitter], *, size_chars: int, overlap_chars: int
) -> Iterator[Span]:
    """Cut a stretch of a text; time and output are linear in its length.

    Args:
        text: The document's.
        span: What of it, without space at either end.
        splitters: What it may be cut into, coarsest first; see `units`.
        size_chars: Length of a chunk at most.
        overlap_chars: How much a chunk repeats of the one before, at most, and never more than half of what
            fits into one.

    Yields:
        Where each chunk starts and ends; only white space lies between them.
    """
    overlap_chars = min(overlap_chars, size_chars // 2)
    packed: list[Span] = []
    start = end = span[0]
    for unit in units(text, span, splitters, size_chars):
        if packed and unit[1] - start > size_chars:
            yield start, end
            # What is repeated must leave room for the unit, or it would be cut.
            earliest = max(end - overlap_chars, unit[1] - size_chars)
            repeated = _repeat_from(text, packed, earliest, splitters)
            start = unit[0] if repeated is None else repeated
            packed = packed[bisect_left(packed, (start,)) :]
        packed.append(unit)
        end = unit[1]
    if packed:
        yield start, end


def _repeat_from(
    text: str, packed: Sequence[Span], earliest: int, splitters: Sequence[Splitter]
) -> int | None:
    """Where the next chunk begins, at or after ``earliest``: a unit, else a part of the last unit."""
    first = bisect_left(packed, (earliest,))
    if first < len(packed):
        return packed[first][0]
    return next((at for at in inner_starts(text, packed[-1], splitters) if at >= earliest), None)
