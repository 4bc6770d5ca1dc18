"""Cuts again what has more tokens than a model reads."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pipelines.chunk.packing import pack
from pipelines.chunk.sections import Section
from pipelines.chunk.spans import Span
from pipelines.chunk.units import Splitter
from vectoray.embedding.model import TokenCounter

Piece = tuple[Section, Span]

# What a tokenizer takes at a time: enough for all cores, little enough for any memory.
_BATCH_PIECES = 256
# A part may be so much longer than if all were of one length, so that whole sentences fit; what the model
# reads is divided among parts that are so much shorter.
_SLACK = 1.1


def within_tokens(
    text: str,
    pieces: Iterable[Piece],
    splitters: Sequence[Splitter],
    *,
    overlap_chars: int,
    tokens: TokenCounter,
) -> Iterator[Piece]:
    """The pieces in order, those that are too long for the model in parts of about one length.

    A single code point is never too long, whatever is counted.
    """
    remaining = iter(pieces)
    while batch := list(islice(remaining, _BATCH_PIECES)):
        counts = tokens.count_tokens([section.embedded(text[slice(*span)]) for section, span in batch])
        for (section, span), count in zip(batch, counts, strict=True):
            if count <= tokens.max_tokens or span[1] - span[0] == 1:
                yield section, span
                continue
            context_tokens = tokens.count_tokens([section.context])[0]
            size_chars = _part_chars(
                span, count - context_tokens, room_tokens=tokens.max_tokens - context_tokens
            )
            parts = pack(text, span, splitters, size_chars=size_chars, overlap_chars=overlap_chars)
            yield from within_tokens(
                text,
                [(section, part) for part in parts],
                splitters,
                overlap_chars=overlap_chars,
                tokens=tokens,
            )


def _part_chars(span: Span, count: int, *, room_tokens: int) -> int:
    """How long each part of a span of ``count`` tokens may be, so that it likely has ``room_tokens``."""
    parts = max(2, math.ceil(count * _SLACK / max(1, room_tokens)))
    length = span[1] - span[0]
    return max(1, min(length - 1, math.ceil(length / parts * _SLACK)))
