"""One point of a shard's history, as a search captures it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.match_cache import BoolArray
from storage.segment import Segment
from storage.tail import Tail
from vectoray.core.filters import Filter
from vectoray.core.model import FloatMatrix, FloatVector


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment and the write that ended each of its rows: uint64, shape (n,)."""

    segment: Segment
    killed_at: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Head:
    """Segments, and the columns of the tail: both see the rows made up to ``seq`` and not ended by then."""

    segments: tuple[LiveSegment, ...]
    vectors: FloatMatrix
    lengths: FloatVector
    killed_at: npt.NDArray[np.uint64]
    tail: Tail
    tail_rows: int
    seq: int
    points: int
    last_write_ms: int


def killed_in(merged: Sequence[LiveSegment], rows: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.uint64]:
    """The write that ended each of some rows of several segments, one segment after the other."""
    return np.concatenate([live.killed_at[part] for live, part in zip(merged, rows, strict=True)])


def tail_mask(head: Head, condition: Filter | None, key: str) -> BoolArray:
    """Which rows of the tail are alive and meet a condition: bool, shape (tail_rows,).

    Args:
        head: Where to look.
        condition: None for any payload.
        key: What tells the condition from others, see `storage.match_cache.key_of`.
    """
    alive = head.killed_at[: head.tail_rows] > head.seq
    if condition is not None:
        alive &= head.tail.matching(condition, key, head.tail_rows)
    return alive


def segment_mask(head: Head, live: LiveSegment, condition: Filter | None, key: str) -> BoolArray:
    """As `tail_mask`, of a segment: bool, shape (rows,)."""
    alive = live.killed_at > head.seq
    if condition is not None:
        alive &= live.segment.matching(condition, key).mask
    return alive
