"""Ids that are there twice, in one source or in two, found by 128 bits of hash. Knows no files and no Ray."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

_HASH = np.dtype([("high", "<u8"), ("low", "<u8")])


def hash_all(ids: Sequence[str]) -> bytes:
    """XXH3-128 of each id, 16 bytes each."""
    return b"".join(xxhash.xxh3_128_digest(point_id.encode()) for point_id in ids)


class SeenIds:
    """Where ids were seen; 28 bytes for each. Two that differ are alike about once in 10^38 pairs."""

    def __init__(self) -> None:
        self._hashes: list[npt.NDArray[np.void]] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._sources: list[npt.NDArray[np.int32]] = []

    def add(self, source: int, rows: npt.NDArray[np.int64], hashes: bytes) -> None:
        """Note the ids of some rows.

        Args:
            source: Where they are; the order of sources decides which row comes first.
            rows: Their numbers there: int64, shape (n,).
            hashes: What `hash_all` gave of their ids.
        """
        self._hashes.append(np.frombuffer(hashes, _HASH))
        self._rows.append(rows)
        self._sources.append(np.full(len(rows), source, dtype=np.int32))

    def repeated(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """The rows, by source and number, whose id a row before them has, each with the first such row."""
        if not self._hashes:
            return []
        hashes, rows = np.concatenate(self._hashes), np.concatenate(self._rows)
        sources = np.concatenate(self._sources)
        order = np.lexsort((rows, sources, hashes["low"], hashes["high"]))
        ordered = hashes[order]
        again = np.flatnonzero(np.r_[False, ordered[1:] == ordered[:-1]])
        found = []
        first = previous = -1
        for at in again.tolist():
            first = first if at == previous + 1 and first >= 0 else at - 1
            previous = at
            found.append((_place(order[at], sources, rows), _place(order[first], sources, rows)))
        return sorted(found)


def _place(at: np.int64, sources: npt.NDArray[np.int32], rows: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int(sources[at]), int(rows[at])
