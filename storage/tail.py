"""The rows written since the last seal, in growing columns; searched one by one."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from storage.segment import SegmentRows
from vectoray.core.model import FloatMatrix, FloatVector

ALIVE = np.uint64(2**64 - 1)
_TAIL_ROWS = 256
_Number = TypeVar("_Number", bound=np.generic)


class Tail:
    """Columns of equal length, and where each live id is.

    Columns grow by doubling into new arrays. A search that captured the old arrays goes on with them: what
    is written to the new ones is later than its ``seq``.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.rows_by_id: dict[str, int] = {}
        self.ids: list[str] = []
        self.payloads: list[bytes] = []
        self.texts: list[str | None] = []
        self.vectors: FloatMatrix = np.empty((_TAIL_ROWS, dimension), dtype=np.float32)
        self.lengths: FloatVector = np.empty(_TAIL_ROWS, dtype=np.float32)
        self.seqs: npt.NDArray[np.uint64] = np.empty(_TAIL_ROWS, dtype=np.uint64)
        self.updated_ms: npt.NDArray[np.int64] = np.empty(_TAIL_ROWS, dtype=np.int64)
        self.killed_at: npt.NDArray[np.uint64] = np.full(_TAIL_ROWS, ALIVE, dtype=np.uint64)

    def reserve(self, rows: int) -> None:
        """Make room for this many more rows."""
        capacity = len(self.vectors)
        if self.count + rows <= capacity:
            return
        capacity = max(capacity * 2, self.count + rows)
        # Each column is complete before it takes the old one's place: others read them meanwhile.
        self.vectors = _grown(self.vectors, capacity)
        self.lengths = _grown(self.lengths, capacity)
        self.seqs = _grown(self.seqs, capacity)
        self.updated_ms = _grown(self.updated_ms, capacity)
        self.killed_at = _grown(self.killed_at, capacity)

    def take(self, rows: npt.NDArray[np.int64]) -> SegmentRows:
        """Some rows, copied."""
        return SegmentRows(
            ids=[self.ids[row] for row in rows],
            seqs=self.seqs[rows],
            updated_ms=self.updated_ms[rows],
            vectors=self.vectors[rows],
            payloads=[self.payloads[row] for row in rows],
            texts=[self.texts[row] for row in rows],
        )


def _grown(column: npt.NDArray[_Number], capacity: int) -> npt.NDArray[_Number]:
    grown = np.empty((capacity, *column.shape[1:]), dtype=column.dtype)
    grown[: len(column)] = column
    return grown
