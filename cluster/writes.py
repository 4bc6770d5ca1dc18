"""A write to a collection as one to each shard that it concerns, and their results as one. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cluster.placement import split_rows
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import PointBatch, WriteMode, WriteResult


@dataclass(frozen=True, slots=True)
class Write:
    """What is asked of a collection, or of one shard of it.

    Attributes:
        mode: What becomes of ids that are there already, or are not.
        atomic: Whether one refused row refuses all rows of its shard.
        expected_seqs: uint64, shape (n,): rows are refused unless their id was last written by just that
            write, see `vectoray.core.model.Point.seq`. None: any.

    Raises:
        InvalidRequest: There are not as many expected sequence numbers as rows.
    """

    batch: PointBatch
    mode: WriteMode = WriteMode.UPSERT
    atomic: bool = True
    expected_seqs: npt.NDArray[np.uint64] | None = None

    def __post_init__(self) -> None:
        if self.expected_seqs is not None and self.expected_seqs.shape != (len(self.batch),):
            raise InvalidRequest(
                f"A batch of {len(self.batch)} rows needs as many expected sequence numbers."
            )

    def take(self, rows: Sequence[int]) -> "Write":
        """The given rows, in the given order, as a new write."""
        seqs = self.expected_seqs
        return Write(
            self.batch.take(rows), self.mode, self.atomic, None if seqs is None else seqs[list(rows)]
        )


@dataclass(frozen=True, slots=True)
class SplitWrite:
    """A write by shard.

    Attributes:
        parts: For each shard that is concerned, what is asked of it.
        rows: For each of those, the positions of its rows in the whole batch.
    """

    parts: Mapping[int, Write]
    rows: Mapping[int, Sequence[int]]

    @classmethod
    def of(cls, write: Write, shards: int) -> "SplitWrite":
        """Split a write over the shards of a collection."""
        if shards == 1:
            return cls({0: write}, {0: range(len(write.batch))})
        rows = split_rows(write.batch.ids, shards)
        return cls({shard: write.take(mine) for shard, mine in rows.items()}, rows)

    def joined(self, results: Mapping[int, WriteResult]) -> WriteResult:
        """The results of all parts as one; what was refused, by its position in the whole batch."""
        refused = [self.rows[shard][row] for shard, result in results.items() for row in result.refused]
        return WriteResult(sum(result.written for result in results.values()), tuple(sorted(refused)))
