"""The rows written since the last seal, in growing columns; searched one by one."""

import threading
from collections import OrderedDict
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from storage.filters import row_test
from storage.match_cache import BoolArray
from storage.rows import SegmentRows
from storage.text_index import TailText
from vectoray.core.filters import Filter
from vectoray.core.model import FloatMatrix, FloatVector

ALIVE = np.uint64(2**64 - 1)
_TAIL_ROWS = 256
_FILTERS = 16
_Number = TypeVar("_Number", bound=np.generic)


class Tail:
    """Columns of equal length, and where each live id is.

    Columns grow by doubling into new arrays. A search that captured the old arrays goes on with them: what
    is written to the new ones is later than its ``seq``.
    """

    def __init__(
        self,
        dimension: int,
        ids: list[str],
        payloads: list[bytes],
        texts: list[str | None],
        sources: list[str | None],
    ) -> None:
        """A tail of as many rows as there are ids; the caller fills in their numbers."""
        capacity = max(_TAIL_ROWS, len(ids))
        self.count = len(ids)
        self.rows_by_id: dict[str, int] = {}
        self.ids, self.payloads, self.texts, self.sources = ids, payloads, texts, sources
        self.text_index = TailText(texts)
        self.vectors: FloatMatrix = np.empty((capacity, dimension), dtype=np.float32)
        self.lengths: FloatVector = np.empty(capacity, dtype=np.float32)
        self.seqs: npt.NDArray[np.uint64] = np.empty(capacity, dtype=np.uint64)
        self.updated_ms: npt.NDArray[np.int64] = np.empty(capacity, dtype=np.int64)
        self.created_ms: npt.NDArray[np.int64] = np.empty(capacity, dtype=np.int64)
        self.chunk_indexes: npt.NDArray[np.int32] = np.empty(capacity, dtype=np.int32)
        self.killed_at: npt.NDArray[np.uint64] = np.full(capacity, ALIVE, dtype=np.uint64)
        self._matching = threading.Lock()
        self._matches: OrderedDict[str, BoolArray] = OrderedDict()

    def append(self, rows: SegmentRows, lengths: FloatVector) -> int:
        """Add rows, whose vectors have these lengths. Returns the first one's number."""
        first, end = self.count, self.count + len(rows)
        self._reserve(end)
        self.vectors[first:end] = rows.vectors
        self.lengths[first:end] = lengths
        self.seqs[first:end] = rows.seqs
        self.updated_ms[first:end] = rows.updated_ms
        self.created_ms[first:end] = rows.created_ms
        self.chunk_indexes[first:end] = rows.chunk_indexes
        self.killed_at[first:end] = ALIVE
        self.ids += rows.ids
        self.payloads += rows.payloads
        self.texts += rows.texts
        self.sources += rows.sources
        self.count = end
        return first

    def _reserve(self, rows: int) -> None:
        capacity = len(self.vectors)
        if rows <= capacity:
            return
        capacity = max(capacity * 2, rows)
        # Each column is complete before it takes the old one's place: others read them meanwhile.
        self.vectors = _grown(self.vectors, capacity)
        self.lengths = _grown(self.lengths, capacity)
        self.seqs = _grown(self.seqs, capacity)
        self.updated_ms = _grown(self.updated_ms, capacity)
        self.created_ms = _grown(self.created_ms, capacity)
        self.chunk_indexes = _grown(self.chunk_indexes, capacity)
        self.killed_at = _grown(self.killed_at, capacity)

    def take(self, rows: npt.NDArray[np.int64]) -> SegmentRows:
        """Some rows, copied."""
        numbers = rows.tolist()
        return SegmentRows(
            ids=[self.ids[row] for row in numbers],
            seqs=self.seqs[rows],
            updated_ms=self.updated_ms[rows],
            vectors=self.vectors[rows],
            payloads=[self.payloads[row] for row in numbers],
            texts=[self.texts[row] for row in numbers],
            sources=[self.sources[row] for row in numbers],
            chunk_indexes=self.chunk_indexes[rows],
            created_ms=self.created_ms[rows],
        )

    def matching(self, condition: Filter, key: str, rows: int) -> BoolArray:
        """Which of the first ``rows`` rows, dead or alive, meet a condition: bool, shape (rows,).

        Rows never change: what was found for earlier rows is kept for the next search.

        Args:
            condition: The condition.
            key: What tells it from other conditions, see `storage.match_cache.key_of`.
            rows: How many rows.
        """
        with self._matching:
            known = self._matches.get(key, np.empty(0, dtype=np.bool_))
        if len(known) < rows:
            added_rows = slice(len(known), rows)
            added = list(map(row_test(condition), self.payloads[added_rows], self.sources[added_rows]))
            known = np.concatenate([known, np.array(added, dtype=np.bool_)])
        with self._matching:
            self._matches[key] = known
            self._matches.move_to_end(key)
            while len(self._matches) > _FILTERS:
                self._matches.popitem(last=False)
        return known[:rows]

    def known_matches(self, key: str) -> int:
        """For how many of the first rows `matching` has the answer at hand."""
        known = self._matches.get(key)
        return 0 if known is None else len(known)


def _grown(column: npt.NDArray[_Number], capacity: int) -> npt.NDArray[_Number]:
    grown = np.empty((capacity, *column.shape[1:]), dtype=column.dtype)
    grown[: len(column)] = column
    return grown
