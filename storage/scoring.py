"""Exact comparison of vectors: the scores a client sees, and the scan that needs no index."""

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix, FloatVector, Metric

# float32 sums over a thousand dimensions differ by about this much, relative to the vectors' lengths,
# depending on the order of additions.
_ROUNDING = 1e-5
_MAX = float(np.finfo(np.float32).max)
_BLOCK_ROWS = 4096


def norms(vectors: FloatMatrix) -> FloatVector:
    """Euclidean lengths: float32, shape (n,). Summed in float64, so tiny and huge values keep theirs."""
    squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths: FloatVector = np.minimum(np.sqrt(squares), _MAX).astype(np.float32)
    return lengths


def exact_scores(metric: Metric, query: FloatVector, vectors: FloatMatrix) -> npt.NDArray[np.float32]:
    """The scores a client sees, summed in float64 and rounded once: float32, shape (n,), higher is better.

    The same two vectors score the same in every segment, in any company.
    """
    wide_query = query.astype(np.float64)
    wide = vectors.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        distances = np.sqrt(np.square(wide - wide_query).sum(axis=1))
        return (1.0 / (1.0 + distances)).astype(np.float32)
    products = (wide * wide_query).sum(axis=1)
    if metric is Metric.COSINE:
        lengths = np.sqrt(np.square(wide).sum(axis=1)) * np.sqrt(np.square(wide_query).sum())
        products = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        products = np.clip(products, -1.0, 1.0)
    return np.clip(products, -_MAX, _MAX).astype(np.float32)


def scan(
    metric: Metric,
    query: FloatVector,
    vectors: FloatMatrix,
    lengths: FloatVector,
    *,
    rows: npt.NDArray[np.int64],
    k: int,
) -> npt.NDArray[np.int64]:
    """Rows that hold the exact best ``k`` among ``rows``, a few more besides: ties and near ties are kept.

    Args:
        metric: How to compare.
        query: float32, shape (dimension,).
        vectors: float32, shape (n, dimension).
        lengths: `norms` of the vectors, float32, shape (n,).
        rows: int64, the rows to look at; sorted.
        k: How many.

    Returns:
        int64, shape (>= min(k, len(rows)),), in no particular order.
    """
    if len(rows) <= k:
        return rows
    scores = np.empty(len(rows), dtype=np.float32)
    everything = len(rows) == len(vectors)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for start in range(0, len(rows), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            block = vectors[part] if everything else vectors[rows[part]]
            if metric is Metric.EUCLIDEAN:
                scores[part] = -np.sqrt(np.square(block - query).sum(axis=1))
            else:
                scores[part] = block @ query
        if metric is Metric.COSINE:
            scores /= lengths[rows]
    # What float32 cannot tell apart is left to `exact_scores`.
    np.nan_to_num(scores, copy=False, nan=np.inf)
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    scale = float(np.linalg.norm(query.astype(np.float64)))
    if metric is Metric.DOT:
        scale *= float(lengths[rows].max())
    elif metric is Metric.EUCLIDEAN:
        scale += float(lengths[rows].max())
    return rows[scores >= kth - np.float32(min(scale * _ROUNDING, 1e30))]
