"""Exact answers by comparing with every vector, and how much of them an index found."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix

_BLOCK_ROWS = 8192
# float32 sums misplace close neighbours: this many beyond the k-th are summed again in float64.
_MARGIN = 32
# Two sums of the same products in float64 differ by less.
_ROUNDING = 1e-9


def cosines(query: npt.NDArray[np.float32], vectors: FloatMatrix) -> npt.NDArray[np.float64]:
    """The cosines of a query with some vectors, in float64: shape (n,)."""
    wide, asked = vectors.astype(np.float64), query.astype(np.float64)
    products: npt.NDArray[np.float64] = wide @ asked
    lengths: npt.NDArray[np.float64] = np.sqrt(np.square(wide).sum(axis=1)) * np.linalg.norm(asked)
    return np.asarray(products / lengths)


def kth_scores(
    vectors: FloatMatrix, queries: FloatMatrix, k: int, *, rows: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """The exact score of each query's k-th best vector; of its last one when there are fewer than ``k``.

    Args:
        vectors: float32, shape (n, dimension), unit length.
        queries: float32, shape (q, dimension), unit length.
        k: Which.
        rows: int64, the only vectors to look at, at least one; None for all.

    Returns:
        float64, shape (q,).
    """
    among = np.arange(len(vectors), dtype=np.int64) if rows is None else rows
    kept_rows = np.empty((len(queries), 0), dtype=np.int64)
    kept = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(among), _BLOCK_ROWS):
        part = among[start : start + _BLOCK_ROWS]
        kept = np.hstack([kept, queries @ vectors[part].T])
        kept_rows = np.hstack([kept_rows, np.broadcast_to(part, (len(queries), len(part)))])
        if kept.shape[1] > k + _MARGIN:
            best = np.argpartition(-kept, k + _MARGIN, axis=1)[:, : k + _MARGIN]
            kept = np.take_along_axis(kept, best, axis=1)
            kept_rows = np.take_along_axis(kept_rows, best, axis=1)
    exact = [np.sort(cosines(query, vectors[best])) for query, best in zip(queries, kept_rows, strict=True)]
    return np.array([scores[-min(k, len(scores))] for scores in exact])


def recall(
    answers: Sequence[Sequence[int]],
    vectors: FloatMatrix,
    queries: FloatMatrix,
    kth: npt.NDArray[np.float64],
    *,
    k: int,
    matching: npt.NDArray[np.int64] | None = None,
) -> float:
    """The share of the exact best ``k`` that was found, over all queries.

    A hit counts when its exact score is at least that of the exact k-th: where scores tie, any will do. A hit
    given twice counts once.

    Args:
        answers: Rows of the vectors that each query found.
        vectors: As for `kth_scores`.
        queries: As for `kth_scores`, in the order of ``answers``.
        kth: What `kth_scores` gave for these queries.
        k: How many were asked for.
        matching: int64, the rows that a filter leaves; a hit outside them does not count.
    """
    wanted = k if matching is None else min(k, len(matching))
    found = 0
    for rows, query, least in zip(answers, queries, kth, strict=True):
        given = np.unique(np.array(rows, dtype=np.int64))
        if matching is not None:
            given = np.intersect1d(given, matching, assume_unique=True)
        found += min(wanted, int(np.count_nonzero(cosines(query, vectors[given]) >= least - _ROUNDING)))
    return found / (wanted * len(answers))
