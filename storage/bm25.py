"""Ranks rows by the words of a query: BM25 over the segments and the tail of a shard together.

The formula is equation 3.15 of Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond" (2009), with one added inside the logarithm, as in Lucene, so that every weight is above zero:

    score(row) = sum over the query's terms of
                 ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * length / average length))
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from storage.text_index import tokens

BoolArray = npt.NDArray[np.bool_]

_K1 = 1.2
_B = 0.75


class TextPart(Protocol):
    """An inverted index of some rows, as `storage.text_index` has them for segments and for the tail."""

    @property
    def lengths(self) -> npt.NDArray[np.uint32]:
        """Terms in each row's text: uint32, shape (rows,)."""
        ...

    @property
    def documents(self) -> int:
        """Rows with at least one term."""
        ...

    @property
    def total_tokens(self) -> int:
        """Sum of the lengths."""
        ...

    def postings(self, term: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """The rows with a term, sorted, and how often it is in each: uint32, shape (rows with it,) both."""
        ...


def search_text(
    parts: Sequence[tuple[TextPart, BoolArray]], query: str, k: int
) -> list[tuple[int, int, float]]:
    """The rows that match a query best.

    How rare a term is and how long the average row, is counted over all parts together, so that a row's score
    does not depend on the part it is in. Rows that are no longer alive are counted too until a merge removes
    them, as in Lucene: what may be returned is in the mask alone. A term that the query repeats counts as
    often as it is there.

    Args:
        parts: Each index, and which of its rows may be returned: bool, shape (rows,). A mask may be shorter
            than its index, which has then grown since; the rows beyond it are ignored altogether.
        query: What was asked.
        k: How many, at least 1.

    Returns:
        Part, row and score, best first, ties by part and row. Fewer than ``k`` if fewer rows hold a term.
    """
    counts = [_counts(part, len(mask)) for part, mask in parts]
    documents = sum(count.documents for count in counts)
    if not documents:
        return []
    average = sum(count.total_tokens for count in counts) / documents
    scores = [np.zeros(len(mask)) for _, mask in parts]
    for term, repeated in Counter(tokens(query)).items():
        found = [_postings(part, term, len(mask)) for part, mask in parts]
        df = sum(len(rows) for rows, _ in found)
        weight = repeated * math.log1p((documents - df + 0.5) / (df + 0.5))
        for sums, count, (rows, tf) in zip(scores, counts, found, strict=True):
            sums[rows] += weight * (tf / (tf + _K1 * (1.0 - _B + _B * (count.lengths[rows] / average))))
    best = [
        (at, row, score) for at, (_, mask) in enumerate(parts) for row, score in _best(scores[at], mask, k)
    ]
    best.sort(key=lambda hit: (-hit[2], hit[0], hit[1]))
    return best[:k]


class _Counts(NamedTuple):
    lengths: npt.NDArray[np.uint32]
    documents: int
    total_tokens: int


def _counts(part: TextPart, rows: int) -> _Counts:
    """Lengths, documents and tokens of a part's first ``rows`` rows."""
    # In this order: of an index that grows, lengths are never behind the totals read before them. If they
    # are of these rows only, so are the totals.
    documents, total_tokens, lengths = part.documents, part.total_tokens, part.lengths
    if len(lengths) > rows:
        lengths = lengths[:rows]
        documents, total_tokens = int(np.count_nonzero(lengths)), int(lengths.sum(dtype=np.int64))
    return _Counts(lengths, documents, total_tokens)


def _postings(part: TextPart, term: str, rows: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """A term's postings in a part's first ``rows`` rows."""
    found, frequencies = part.postings(term)
    end = int(np.searchsorted(found, np.uint32(rows)))
    return found[:end], frequencies[:end]


def _best(scores: npt.NDArray[np.float64], mask: BoolArray, k: int) -> list[tuple[int, float]]:
    """The mask's ``k`` best rows that score at all, in no particular order; of equal ones the first."""
    rows = np.flatnonzero(scores)
    rows = rows[mask[rows]]
    scores = scores[rows]
    if len(rows) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > kth)
        equal = np.flatnonzero(scores == kth)[: k - len(above)]
        chosen = np.concatenate([above, equal])
        rows, scores = rows[chosen], scores[chosen]
    return list(zip(rows.tolist(), scores.tolist(), strict=True))
