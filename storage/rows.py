"""Points on their way into a segment or out of one, in columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """Live points, in columns of equal length.

    Attributes:
        seqs: uint64, shape (n,). The write that made each row.
        updated_ms: int64, shape (n,).
        vectors: float32, shape (n, dimension).
        chunk_indexes: int32, shape (n,), as `storage.columns.chunk_column`.
        created_ms: int64, shape (n,).
    """

    ids: Sequence[str]
    seqs: npt.NDArray[np.uint64]
    updated_ms: npt.NDArray[np.int64]
    vectors: FloatMatrix
    payloads: Sequence[bytes]
    texts: Sequence[str | None]
    sources: Sequence[str | None]
    chunk_indexes: npt.NDArray[np.int32]
    created_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def concatenate(parts: Sequence[SegmentRows]) -> SegmentRows:
    """The rows of several parts, one part after the other."""
    return SegmentRows(
        ids=[point_id for part in parts for point_id in part.ids],
        seqs=np.concatenate([part.seqs for part in parts]),
        updated_ms=np.concatenate([part.updated_ms for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
        payloads=[payload for part in parts for payload in part.payloads],
        texts=[text for part in parts for text in part.texts],
        sources=[source for part in parts for source in part.sources],
        chunk_indexes=np.concatenate([part.chunk_indexes for part in parts]),
        created_ms=np.concatenate([part.created_ms for part in parts]),
    )
