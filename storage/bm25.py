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


def text_scores(parts: Sequence[tuple[TextPart, int]], query: str) -> list[npt.NDArray[np.float64]]:
    """How well each row matches a query; 0 without any of its terms.

    How rare a term is and how long the average row, is counted over all parts together, so that a row's score
    does not depend on the part it is in. Rows that are no longer alive are counted too until a merge removes
    them, as in Lucene. A term that the query repeats counts as often as it is there.

    Args:
        parts: Each index, and how many of its first rows to look at: it may have grown since. The rows beyond
            are ignored altogether.
        query: What was asked.

    Returns:
        Of each part, float64, shape (rows,).
    """
    counts = [_counts(part, rows) for part, rows in parts]
    scores = [np.zeros(rows) for _, rows in parts]
    documents = sum(count.documents for count in counts)
    if not documents:
        return scores
    average = sum(count.total_tokens for count in counts) / documents
    for term, repeated in Counter(tokens(query)).items():
        found = [_postings(part, term, rows) for part, rows in parts]
        df = sum(len(rows) for rows, _ in found)
        weight = repeated * math.log1p((documents - df + 0.5) / (df + 0.5))
        for sums, count, (rows, tf) in zip(scores, counts, found, strict=True):
            sums[rows] += weight * (tf / (tf + _K1 * (1.0 - _B + _B * (count.lengths[rows] / average))))
    return scores


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
