"""The HNSW graph of a segment: which rows are probably near a query. Made and walked by usearch.

HNSW is Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
Navigable Small World graphs" (2016). The graph only chooses candidates; `storage.scoring` scores them.
"""

import errno
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Here for its libraries: usearch that is loaded before them keeps OpenVINO from compiling any model.
import pyarrow  # noqa: F401, ICN001
import structlog
import xxhash
from usearch.index import Index

from storage import scoring
from vectoray.core.errors import CorruptData
from vectoray.core.model import FloatMatrix, FloatVector, GraphType, IndexOptions, Metric

_log = structlog.get_logger(__name__)

_ADD_ROWS = 2048
# One row in so many is added first; the others are grouped around so many of those.
_SPREAD_PART = 10
_PIVOTS = 256
_SELF_RECALL_SAMPLE = 256
_SELF_RECALL_MIN = 0.98
_SELF_RECALL_TOP = 10
_INT8_MAX = 127.0
# Less than the largest component of any direction, and not so little that to divide by it overflows.
_LEAST = np.float32(1e-30)
# Errors of rounding are taken as independent, which they need not be: hence so many standard deviations.
_DEVIATIONS = 10.0
_METRICS = {Metric.COSINE: "cos", Metric.DOT: "ip", Metric.EUCLIDEAN: "l2sq"}


Rows = npt.NDArray[np.int64]


class BuildStoppedError(Exception):
    """The build was asked to stop; nothing is left of it."""


class Found(NamedTuple):
    """Rows of a segment that may be what a search wants.

    Attributes:
        rows: int64, shape (n,).
        distances: float32, shape (n,), rising, in a graph's own numbers, if a graph found the rows.
        error: How far a distance may be from the exact one, see `rounding_error`.
    """

    rows: Rows
    distances: FloatVector | None = None
    error: float = 0.0


def rounding_error(largest: float, largest_of_query: float) -> float:
    """How far a graph's distance may be from the exact one under cosine.

    Int8 is the coarsest type: each component of a direction moves by up to half a 127th of the largest one,
    evenly spread, and the product of two directions by as much, in standard deviations, as one component of
    each.

    Args:
        largest: The largest component of any row's direction, 0 to 1.
        largest_of_query: That of the query's.
    """
    return _DEVIATIONS * math.hypot(largest, largest_of_query) / (2 * _INT8_MAX * math.sqrt(3))


def contenders(metric: Metric, found: Sequence[Found], k: int) -> list[Rows]:
    """Of what graphs of one collection found, the rows that may be among the exact best ``k`` of all.

    They are ``k`` at least if so many were found.
    """
    distances = [one.distances for one in found if one.distances is not None]
    if metric is not Metric.COSINE or sum(map(len, distances)) <= k:
        return [one.rows for one in found]
    nearest = distances[0][:k] if len(distances) == 1 else np.sort(np.concatenate([d[:k] for d in distances]))
    last, error = nearest[k - 1], max(one.error for one in found)
    return [
        one.rows
        if one.distances is None
        else one.rows[: np.searchsorted(one.distances, last + math.hypot(error, one.error), side="right")]
        for one in found
    ]


def graph_type(metric: Metric, options: IndexOptions) -> GraphType:
    """The numbers that graphs of such a collection keep."""
    if options.graph_type is not GraphType.AUTO:
        return options.graph_type
    return GraphType.I8 if metric is Metric.COSINE else GraphType.F32


def saved_graph_type(path: Path) -> GraphType:
    """The numbers that a saved graph keeps."""
    return GraphType(Index.metadata(str(path))["kind_scalar"].name.lower())


class GraphQuery:
    """A query as graphs take it; worked out once, however many are asked.

    Attributes:
        direction: float32, shape (dimension,). Of length 1 or 0 under cosine, else the query as it is.
        largest: Its largest component, at least 0.
    """

    __slots__ = ("_int8", "direction", "largest")

    def __init__(self, metric: Metric, vector: FloatVector) -> None:
        """Prepare a query.

        Args:
            metric: The collection's.
            vector: float32, shape (dimension,).
        """
        self.direction = scoring.direction(vector) if metric is Metric.COSINE else vector
        self.largest = float(np.abs(self.direction).max())
        self._int8: npt.NDArray[np.int8] | None = None

    def numbers(self, kind: GraphType) -> npt.NDArray[Any]:
        """The numbers that a graph of this type compares with its own."""
        if kind is not GraphType.I8:
            return self.direction
        if self._int8 is None:
            self._int8 = _int8_of(self.direction, self.largest)
        return self._int8


class Graph:
    """A usearch graph whose keys are rows."""

    def __init__(self, index: Any, metric: Metric, options: IndexOptions) -> None:
        self._index = index
        self._metric = metric
        self._type = graph_type(metric, options)
        self._ef_search = options.ef_search
        index.expansion_add = options.ef_construction
        # A search says how many candidates it keeps; usearch would take the larger of both.
        index.expansion_search = 1

    @classmethod
    def empty(cls, dimension: int, metric: Metric, options: IndexOptions) -> "Graph":
        """A graph without rows, in memory."""
        index = Index(
            ndim=dimension,
            metric=_METRICS[metric],
            dtype=graph_type(metric, options).value,
            connectivity=options.m,
            enable_key_lookups=False,
        )
        return cls(index, metric, options)

    @classmethod
    def open(cls, path: Path, metric: Metric, options: IndexOptions, *, mapped: bool = True) -> "Graph":
        """A saved graph.

        Args:
            path: What `save` wrote.
            metric: The collection's metric.
            options: The collection's index options.
            mapped: Whether to search it where it lies; otherwise it is read into memory and may grow.

        Raises:
            CorruptData: It cannot be read.
        """
        try:
            index = Index.restore(str(path), view=mapped, enable_key_lookups=False)
        except (ValueError, RuntimeError) as error:
            raise CorruptData("A segment's graph cannot be read.") from error
        if index is None:
            raise CorruptData("A segment's graph cannot be read.")
        return cls(index, metric, options)

    def __len__(self) -> int:
        return len(self._index)

    def candidates(self, query: GraphQuery, count: int) -> tuple[Rows, FloatVector]:
        """About the ``count`` rows nearest to a query.

        Args:
            query: What to look for.
            count: How many.

        Returns:
            The rows, int64, nearest first, and their distances in the graph's own numbers, float32.
        """
        found = self._index.search(query.numbers(self._type), count, threads=1)
        return found.keys.view(np.int64), found.distances

    def hashes(self, vectors: FloatMatrix) -> npt.NDArray[np.uint64]:
        """Equal where the graph's numbers are: uint64, shape (n,). By XXH3-64 of them."""
        blocks = (
            np.ascontiguousarray(self._encoded(vectors[at : at + _ADD_ROWS]))
            for at in range(0, len(vectors), _ADD_ROWS)
        )
        return np.fromiter(
            (xxhash.xxh3_64_intdigest(row) for block in blocks for row in block), np.uint64, len(vectors)
        )

    def add(
        self,
        rows: Rows,
        vectors_of: Callable[[Rows], FloatMatrix],
        *,
        seed: int,
        should_stop: Callable[[], bool],
    ) -> None:
        """Link more rows into the graph.

        One thread adds them: concurrent additions to usearch can leave rows unreachable.

        Raises:
            BuildStoppedError: ``should_stop`` said so.
        """
        order = self._insertion_order(rows, vectors_of, seed)
        for start in range(0, len(order), _ADD_ROWS):
            if should_stop():
                raise BuildStoppedError
            part = order[start : start + _ADD_ROWS]
            added = vectors_of(part)
            if self._metric is Metric.COSINE:
                # Of equal lengths, so that squares neither vanish nor overflow in float32.
                added = scoring.unit(added)
            self._index.add(part.astype(np.uint64), self._encoded(added), threads=1)

    def _insertion_order(self, rows: Rows, vectors_of: Callable[[Rows], FloatMatrix], seed: int) -> Rows:
        """Some rows from anywhere first, then the others, neighbours one after the other.

        The first ones keep the graph connected whatever the data's own order; neighbours find each other's
        neighbours still in the processor's caches, which makes a third more of them in the same time.
        """
        order = np.random.default_rng(seed).permutation(rows)
        first, rest = np.split(order, [len(order) // _SPREAD_PART])
        if not len(first):
            return order
        pivots = scoring.unit(vectors_of(first[:_PIVOTS]))
        nearest = np.concatenate(
            [
                np.argmax(scoring.unit(vectors_of(rest[at : at + _ADD_ROWS])) @ pivots.T, axis=1)
                for at in range(0, len(rest), _ADD_ROWS)
            ]
        )
        return np.concatenate([first, rest[np.argsort(nearest, kind="stable")]])

    def save(self, path: Path) -> None:
        """Write the graph to a file, which is not synced.

        Raises:
            OSError: The disk refused.
        """
        try:
            self._index.save(str(path))
        except RuntimeError as error:
            raise OSError(errno.EIO, "the graph could not be saved") from error
        # Usearch takes some failures to write for success.
        if path.stat().st_size < self._index.serialized_length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def finds_its_rows(
        self, vectors: FloatMatrix, *, seed: int, should_stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether the graph finds what is best for a sample of its own rows among the ten best.

        Raises:
            BuildStoppedError: ``should_stop`` said so.
        """
        size = min(_SELF_RECALL_SAMPLE, len(vectors))
        sample = np.sort(np.random.default_rng(seed).choice(len(vectors), size, replace=False))
        lengths = scoring.norms(vectors) if self._metric is Metric.DOT else None
        found = 0
        for row in sample.tolist():
            if should_stop():
                raise BuildStoppedError
            query = np.array(vectors[row])
            asked = GraphQuery(self._metric, query)
            got = self.candidates(asked, max(self._ef_search, _SELF_RECALL_TOP))[0][:_SELF_RECALL_TOP]
            best = scoring.exact_scores(self._metric, query, self._best_rows(query, row, vectors, lengths))
            scores = scoring.exact_scores(self._metric, query, vectors[got])
            found += bool(len(scores) and scores.max() >= best.max())
        if found < _SELF_RECALL_MIN * size:
            _log.warning("segment_graph_refused", self_recall=round(found / size, 4), rows=len(vectors))
            return False
        return True

    def _best_rows(
        self, query: FloatVector, row: int, vectors: FloatMatrix, lengths: FloatVector | None
    ) -> FloatMatrix:
        """Vectors that hold the best one for a row's own vector."""
        if lengths is None:
            # Nothing is nearer than itself; products may be larger.
            return vectors[row : row + 1]
        rows = np.arange(len(vectors), dtype=np.int64)
        return vectors[scoring.scan(self._metric, query, vectors, lengths, rows=rows, k=1)]

    def _encoded(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Vectors as the graph takes them: float32, or int8 scaled by each one's largest component."""
        if self._type is not GraphType.I8:
            return vectors
        return _int8_of(
            vectors, np.maximum(vectors.max(axis=1, keepdims=True), -vectors.min(axis=1, keepdims=True))
        )


def _int8_of(vectors: npt.NDArray[np.float32], largest: Any) -> npt.NDArray[np.int8]:
    # A vector of zeros stays one.
    return np.rint(vectors * (_INT8_MAX / np.maximum(largest, _LEAST))).astype(np.int8)
