"""Rows that a graph cannot tell apart: it links the first of each such group, the others are kept beside it.

Many copies of one vector (the same boilerplate on every page, say) would link to nothing but each other, and
a graph with such an island in it finds neither what is on it nor what lies behind.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.columns import numbers
from vectoray.core.model import FloatVector

Rows = npt.NDArray[np.int64]


def first_alike(hashes: npt.NDArray[np.uint64]) -> Rows:
    """The first row of each row's group: int64, shape (n,). It is the row itself where none before is alike.

    Args:
        hashes: uint64, shape (n,). Equal for rows that are alike. If two others collide, the later one is
            only found together with the earlier; scores do not depend on it.
    """
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


def twins_batch(first: Rows) -> pa.RecordBatch:
    """What a segment's file says of `first_alike`: the rows that are not linked, by the one that is."""
    rows = np.flatnonzero(first != np.arange(len(first)))
    rows = rows[np.argsort(first[rows], kind="stable")]
    return pa.record_batch(
        {"of": pa.array(first[rows].astype(np.uint32)), "row": pa.array(rows.astype(np.uint32))}
    )


class Twins:
    """The unlinked rows of a segment."""

    def __init__(self, path: Path) -> None:
        """Map them.

        Raises:
            OSError, pyarrow.ArrowException, KeyError: There is no such file, or it is damaged.
        """
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        self._of: npt.NDArray[np.uint32] = numbers(batch["of"], np.uint32)
        self._rows: npt.NDArray[np.uint32] = numbers(batch["row"], np.uint32)

    def __len__(self) -> int:
        return len(self._rows)

    def joined(self, rows: Rows, distances: FloatVector) -> tuple[Rows, FloatVector]:
        """Candidates with their twins, which are as far away.

        Args:
            rows: int64, shape (n,), nearest first.
            distances: float32, shape (n,).

        Returns:
            The same of all of them.
        """
        start = np.searchsorted(self._of, rows)
        counts = np.searchsorted(self._of, rows, side="right") - start
        total = int(counts.sum())
        if not total:
            return rows, distances
        # The n-th twin of a candidate comes n places behind its first.
        nth = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        twins = self._rows[np.repeat(start, counts) + nth].astype(np.int64)
        distances = np.concatenate([distances, np.repeat(distances, counts)])
        order = np.argsort(distances, kind="stable")
        return np.concatenate([rows, twins])[order], distances[order]
