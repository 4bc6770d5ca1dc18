"""An immutable, mapped search segment: stored fields, an id index, a graph, a filter and a text index.

A segment is a folder, written by `storage.segment_files` and described there. It is derived from the log and
the table, and can be rebuilt from them.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage import segment_files
from storage.columns import BytesColumn, numbers
from storage.filter_index import FilterIndex, matching_rows
from storage.graph import Found, Graph, GraphQuery, rounding_error
from storage.match_cache import MatchCache, Matches
from storage.records import hash_id
from storage.rows import SegmentRows
from storage.text_index import TextIndex
from storage.twins import Twins
from vectoray.core.errors import CorruptData
from vectoray.core.filters import Filter
from vectoray.core.model import FloatVector, IndexOptions, Metric

# More than are asked for: rounding to the graph's number type misplaces close neighbours.
_SLACK = 16
# Of rows that match a filter, the graph is asked for this many times as many as are needed.
_FILTER_SURPLUS = 2.0
# To walk past a candidate costs about as much as to compare with this many rows one by one.
_CANDIDATE_COST = 6


class Wanted(NamedTuple):
    """What a search wants of each segment.

    Attributes:
        query: What to look for.
        k: How many rows.
        seq: The write up to which the search sees.
        shards: How many shards the collection has.
    """

    query: GraphQuery
    k: int
    seq: int
    shards: int = 1


class Segment:
    """A segment opened for reading. Its files are mapped, so processes share their memory."""

    def __init__(self, directory: Path, metric: Metric, options: IndexOptions, *, verify: bool) -> None:
        """Map a segment.

        Args:
            directory: The segment's folder.
            metric: The collection's metric.
            options: The collection's index options.
            verify: Whether to compare every file with its checksum first.

        Raises:
            CorruptData: A file is missing, damaged, or of another format.
        """
        self.name = directory.name
        self.directory = directory
        self.metric = metric
        description = segment_files.read_description(directory)
        if verify:
            segment_files.verify(directory, description)
        try:
            fields = pa.ipc.open_file(pa.memory_map(str(directory / segment_files.ROWS))).get_batch(0)
            writes = pa.ipc.open_file(pa.memory_map(str(directory / segment_files.WRITES))).get_batch(0)
            index = pa.ipc.open_file(pa.memory_map(str(directory / segment_files.IDS))).get_batch(0)
            self.vectors = segment_files.map_vectors(directory / segment_files.VECTORS)
            self._hashes: npt.NDArray[np.uint64] = numbers(index["hash"], np.uint64)
            self._hash_rows: npt.NDArray[np.uint32] = numbers(index["row"], np.uint32)
            self.lengths: FloatVector = numbers(fields["length"], np.float32)
            self.seqs: npt.NDArray[np.uint64] = numbers(writes["seq"], np.uint64)
            self.updated_ms: npt.NDArray[np.int64] = numbers(writes["updated_ms"], np.int64)
            self.created_ms: npt.NDArray[np.int64] = numbers(writes["created_ms"], np.int64)
            self.chunk_indexes: npt.NDArray[np.int32] = numbers(fields["chunk_index"], np.int32)
            self.ids, self.payloads, self.texts, self.sources = (
                BytesColumn(fields["id"]),
                BytesColumn(fields["payload"]),
                BytesColumn(fields["text"]),
                BytesColumn(fields["source"]),
            )
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise CorruptData("A segment is incomplete.") from error
        if not len(self.vectors) == len(self._hashes) == len(self.seqs) == description.rows:
            raise CorruptData("A segment's files are of different lengths.")
        self.graph: Graph | None = None
        if description.has_graph:
            self.graph = Graph.open(directory / segment_files.GRAPH, metric, options)
            self._largest_component = description.largest_component
            self._twins = _open_twins(directory / segment_files.TWINS)
        self.indexed = description.indexed
        self.text_index = TextIndex(directory / segment_files.TEXT, len(self))
        self._filter_index = FilterIndex(directory / segment_files.FILTERS, len(self))
        self._matches = MatchCache()
        self._ef_search = options.ef_search
        self.size_bytes = sum(path.stat().st_size for path in directory.iterdir())

    def __len__(self) -> int:
        return len(self.seqs)

    @property
    def files(self) -> list[Path]:
        """Every file of the segment."""
        return sorted(self.directory.iterdir())

    def find(
        self,
        ids: Sequence[str],
        hashes: npt.NDArray[np.uint64],
        killed_at: npt.NDArray[np.uint64],
        alive: int,
    ) -> Iterator[tuple[int, int]]:
        """Where ids are.

        Args:
            ids: What to look for.
            hashes: `storage.records.hash_ids` of them.
            killed_at: uint64, shape (n,). The write that ended each row.
            alive: Only rows that ended after this write.

        Yields:
            Position in ``ids``, and the row; at most one for each id.
        """
        first = np.searchsorted(self._hashes, hashes)
        inside = np.flatnonzero(first < len(self._hashes))
        for at in inside[self._hashes[first[inside]] == hashes[inside]].tolist():
            entry = int(first[at])
            # Rows of one hash: the same id in a dead row, or, once in a very long time, another id.
            while entry < len(self._hashes) and self._hashes[entry] == hashes[at]:
                row = int(self._hash_rows[entry])
                if killed_at[row] > alive and self.ids[row] == ids[at].encode():
                    yield at, row
                    break
                entry += 1

    def row_of(self, point_id: str, killed_at: npt.NDArray[np.uint64], alive: int) -> int | None:
        """As `find`, for one id."""
        hashes = np.array([hash_id(point_id)], dtype=np.uint64)
        for _, row in self.find((point_id,), hashes, killed_at, alive):
            return row
        return None

    def id(self, row: int) -> str:
        """The row's id."""
        return self.ids[row].decode()

    def text(self, row: int) -> str | None:
        """The row's text."""
        return None if self.texts.is_null(row) else self.texts[row].decode()

    def source(self, row: int) -> str | None:
        """The document that the row came from."""
        return None if self.sources.is_null(row) else self.sources[row].decode()

    def hashes_by_row(self) -> npt.NDArray[np.uint64]:
        """The hash of each row's id: uint64, shape (n,)."""
        hashes = np.empty(len(self), dtype=np.uint64)
        hashes[self._hash_rows] = self._hashes
        return hashes

    def take(self, rows: npt.NDArray[np.int64]) -> SegmentRows:
        """Some rows, copied."""
        indices = pa.array(rows)
        return SegmentRows(
            ids=self.ids.column.take(indices).to_pylist(),
            seqs=self.seqs[rows],
            updated_ms=self.updated_ms[rows],
            vectors=self.vectors[rows],
            payloads=self.payloads.column.take(indices).to_pylist(),
            texts=self.texts.column.take(indices).to_pylist(),
            sources=self.sources.column.take(indices).to_pylist(),
            chunk_indexes=self.chunk_indexes[rows],
            created_ms=self.created_ms[rows],
        )

    def matching(self, condition: Filter, key: str) -> Matches:
        """The rows that meet a condition, dead or alive.

        Args:
            condition: The condition.
            key: What tells it from other conditions, see `storage.match_cache.key_of`.
        """
        return self._matches.get(
            key,
            lambda: matching_rows(self._filter_index, condition, self.payloads.__getitem__, self.source),
        )

    def rows_compared(self, key: str | None) -> int | None:
        """How many rows a search may compare one by one; None if it must find the matching ones first.

        Args:
            key: What tells the search's condition from others; None if it has none.
        """
        if key is None:
            return 0 if self.graph is not None else len(self)
        return self._matches.known_count(key)

    def candidates(self, wanted: Wanted, killed_at: npt.NDArray[np.uint64], matches: Matches | None) -> Found:
        """Rows that probably hold the best ``k`` alive; never fewer than ``k`` if there are ``k``.

        Args:
            wanted: What the search wants.
            killed_at: uint64, shape (n,). The write that ended each row.
            matches: Only these rows; None for all.
        """
        if matches is not None and not matches.count:
            return Found(np.empty(0, dtype=np.int64))
        share = 1.0 if matches is None else matches.count / len(self)
        # Ids are spread over the shards by a hash: of the best, each holds about its part.
        count = max(
            int(_FILTER_SURPLUS * wanted.k / share) + _SLACK,
            int((self._ef_search + wanted.k) / sqrt(share * wanted.shards)),
        )
        most = len(self) if matches is None else matches.count
        while self.graph is not None and count * _CANDIDATE_COST < most:
            rows, distances = self.graph.candidates(wanted.query, count)
            if len(self._twins):
                rows, distances = self._twins.joined(rows, distances)
            alive = killed_at[rows] > wanted.seq
            if matches is not None:
                alive &= matches.mask[rows]
            if not alive.all():
                rows, distances = rows[alive], distances[alive]
            if len(rows) >= wanted.k:
                return Found(rows, distances, rounding_error(self._largest_component, wanted.query.largest))
            count *= 4
        if matches is None:
            return Found(np.flatnonzero(killed_at > wanted.seq))
        return Found(matches.rows[killed_at[matches.rows] > wanted.seq])


def _open_twins(path: Path) -> Twins:
    try:
        return Twins(path)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise CorruptData("A segment is incomplete.") from error
