"""Exact comparison of vectors: the scores a client sees, and the scan that needs no index."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix, FloatVector, Metric

# float32 sums over a thousand dimensions differ by about this much, relative to the vectors' lengths,
# depending on the order of additions.
_ROUNDING = 1e-5
# A score of 1 / (1 + d) is rounded to float32: distances this close, relative to 1 + d, may score equal.
_SCORE_ROUNDING = 2.5e-7
_MAX = float(np.finfo(np.float32).max)
# Lengths between which squares and products of float32 vectors neither vanish nor overflow.
_FLOAT32_SAFE = (1e-18, 1e18)
_BLOCK_ROWS = 4096
# To score so few exactly costs less than to choose among them first.
_FEW_ROWS = 48
_NO_SCORES: npt.NDArray[np.float32] = np.empty(0, dtype=np.float32)


def norms(vectors: FloatMatrix) -> FloatVector:
    """Euclidean lengths: float32, shape (n,). Summed in float64, so tiny and huge values keep theirs."""
    squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths: FloatVector = np.minimum(np.sqrt(squares), _MAX).astype(np.float32)
    return lengths


def _wide_norms(vectors: FloatMatrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Lengths of some rows, of which float32 would hold neither the smallest nor the largest."""
    blocks = [vectors[rows[start : start + _BLOCK_ROWS]] for start in range(0, len(rows), _BLOCK_ROWS)]
    return np.sqrt(np.concatenate([np.square(block.astype(np.float64)).sum(axis=1) for block in blocks]))


def largest_component(vectors: FloatMatrix) -> float:
    """The largest component of the direction of any of the vectors: 0 to 1."""
    largest = 0.0
    for start in range(0, len(vectors), _BLOCK_ROWS):
        largest = max(largest, float(np.abs(unit(vectors[start : start + _BLOCK_ROWS])).max()))
    return largest


def length(vector: FloatVector) -> float:
    """As `norms`, of one vector, which it takes a tenth of the time for."""
    wide = vector.astype(np.float64)
    return min(math.sqrt(float(wide.dot(wide))), _MAX)


def direction(vector: FloatVector) -> FloatVector:
    """As `unit`, of one vector: float32, shape (dimension,)."""
    wide = vector.astype(np.float64)
    of_one = math.sqrt(float(wide.dot(wide)))
    found: FloatVector = (wide / of_one if of_one else wide).astype(np.float32)
    return found


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The directions of vectors: float32, shape (..., dimension), each of length 1 or 0."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=-1, keepdims=True))
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0).astype(np.float32)


def exact_scores(metric: Metric, query: FloatVector, vectors: FloatMatrix) -> npt.NDArray[np.float32]:
    """The scores a client sees, summed in float64 and rounded once: float32, shape (n,), higher is better.

    The same two vectors score the same in every segment, in any company.
    """
    if len(vectors) > _BLOCK_ROWS:
        # Many rows may tie; float64 copies of all of them at once would cost twice the segment.
        starts = range(0, len(vectors), _BLOCK_ROWS)
        return np.concatenate([exact_scores(metric, query, vectors[at : at + _BLOCK_ROWS]) for at in starts])
    wide_query = query.astype(np.float64)
    wide = vectors.astype(np.float64)
    # One product of two rows at a time: the order of additions must not depend on how many there are.
    if metric is Metric.EUCLIDEAN:
        wide -= wide_query
        distances = np.sqrt(np.vecdot(wide, wide))
        return (1.0 / (1.0 + distances)).astype(np.float32)
    products = np.vecdot(wide, wide_query)
    most = _MAX
    if metric is Metric.COSINE:
        lengths = np.sqrt(np.vecdot(wide, wide))
        lengths *= math.sqrt(float(wide_query.dot(wide_query)))
        # The product with a vector of zeros is zero already.
        np.divide(products, lengths, out=products, where=lengths > 0)
        most = 1.0
    np.minimum(products, most, out=products)
    np.maximum(products, -most, out=products)
    return products.astype(np.float32)


class Candidates(NamedTuple):
    """Rows to compare with a query.

    Attributes:
        vectors: float32, shape (n, dimension).
        lengths: `norms` of the vectors, float32, shape (n,).
        rows: int64, sorted if there are many.
    """

    vectors: FloatMatrix
    lengths: FloatVector
    rows: npt.NDArray[np.int64]


class Scored(NamedTuple):
    """Rows, and their exact scores: int64 and float32, shape (n,) both, in no particular order."""

    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def best(metric: Metric, query: FloatVector, parts: Sequence[Candidates], k: int) -> list[Scored]:
    """Of each part, the rows that belong to the exact best ``k`` of all parts together, and all ties of them.

    Args:
        metric: How to compare.
        query: float32, shape (dimension,).
        parts: Where to look.
        k: How many, at least 1.
    """
    near = _near(metric, query, parts, k)
    scores = _scores(metric, query, parts, near)
    kth = -np.inf if len(scores) <= k else np.partition(scores, len(scores) - k)[len(scores) - k]
    scored, start = [], 0
    for rows in near:
        of_part = scores[start : start + len(rows)]
        start += len(rows)
        is_best = of_part >= kth
        scored.append(Scored(rows[is_best], of_part[is_best]))
    return scored


def _scores(
    metric: Metric, query: FloatVector, parts: Sequence[Candidates], near: Sequence[npt.NDArray[np.int64]]
) -> npt.NDArray[np.float32]:
    """`exact_scores` of some rows of each part, one part after the other."""
    asked = [(part.vectors, rows) for part, rows in zip(parts, near, strict=True) if len(rows)]
    if not asked:
        return _NO_SCORES
    if sum(len(rows) for _, rows in asked) <= _BLOCK_ROWS:
        # Together: for the few rows of one part, the steps to it would take longer than the products.
        gathered = [vectors[rows] for vectors, rows in asked]
        return exact_scores(metric, query, gathered[0] if len(gathered) == 1 else np.concatenate(gathered))
    # Where many tie, copies of all of them at once would take as much memory as the collection.
    return np.concatenate([exact_scores(metric, query, vectors[rows]) for vectors, rows in asked])


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
    return _near(metric, query, [Candidates(vectors, lengths, rows)], k)[0]


def _near(
    metric: Metric, query: FloatVector, parts: Sequence[Candidates], k: int
) -> list[npt.NDArray[np.int64]]:
    """As `scan`, over several parts together."""
    if sum(len(part.rows) for part in parts) <= max(k, _FEW_ROWS):
        return [part.rows for part in parts]
    query_length = length(query)
    values, longest = [], 0.0
    for part in parts:
        if not len(part.rows):
            values.append(np.empty(0))
            continue
        here = part.lengths[part.rows]
        values.append(_approximate(metric, query, part, wide=_is_extreme(query_length, here)))
        longest = max(longest, float(here.max(initial=0.0)))
    everything = np.concatenate(values)
    kth = float(np.partition(everything, len(everything) - k)[len(everything) - k])
    # What these sums cannot tell apart, and what scores equal after its last rounding, is left to
    # `exact_scores`.
    if metric is Metric.EUCLIDEAN:
        tolerance = _ROUNDING * (query_length + longest) + _SCORE_ROUNDING * (1.0 - kth)
    elif metric is Metric.DOT:
        tolerance = _ROUNDING * query_length * longest
    else:
        tolerance = _ROUNDING * query_length
    return [part.rows[found >= kth - tolerance] for part, found in zip(parts, values, strict=True)]


def _is_extreme(query_length: float, lengths: FloatVector) -> bool:
    """Whether products or squares might overflow or vanish in float32."""
    least, most = _FLOAT32_SAFE
    if not least < query_length < most and query_length > 0:
        return True
    if not len(lengths) or (float(lengths.min()) > least and float(lengths.max()) < most):
        return False
    lengths = lengths[lengths > 0]
    return len(lengths) > 0 and not (least < float(lengths.min()) and float(lengths.max()) < most)


def _approximate(
    metric: Metric, query: FloatVector, part: Candidates, *, wide: bool
) -> npt.NDArray[np.float64]:
    """Values in the order of the scores, for some rows: float64, shape (len(rows),).

    They are the product with the query (dot), that over the row's length (cosine), or the negative distance.
    They are summed in float32 unless ``wide``.
    """
    vectors, lengths, rows = part
    # To gather rows copies them; of most rows it is quicker to compare all, and then choose.
    everything = not wide and len(rows) * 2 > len(vectors)
    count = len(vectors) if everything else len(rows)
    number: Any = np.float64 if wide else np.float32
    asked = query.astype(number)
    values = np.empty(count, dtype=np.float64)
    unasked = len(rows) < count
    # Rows that nobody asked about may be extreme.
    with np.errstate(over="ignore", invalid="ignore") if unasked else nullcontext():
        for start in range(0, count, _BLOCK_ROWS):
            at = slice(start, start + _BLOCK_ROWS)
            block = (vectors[at] if everything else vectors[rows[at]]).astype(number, copy=False)
            if metric is Metric.EUCLIDEAN:
                values[at] = -np.sqrt(np.square(block - asked).sum(axis=1))
            else:
                values[at] = block @ asked
    if unasked:
        values = values[rows]
    if metric is Metric.COSINE:
        divisors = _wide_norms(vectors, rows) if wide else lengths[rows].astype(np.float64)
        np.divide(values, divisors, out=values, where=divisors > 0)
    elif metric is Metric.DOT:
        np.clip(values, -_MAX, _MAX, out=values)
    return values
