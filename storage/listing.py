"""Lists a shard's live points without a question: the newest, or all in an order that writes do not change.

Both look at columns of numbers first, and read ids, payloads and vectors only of the rows that they give.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.columns import chunk_index
from storage.head import Head, segment_mask, tail_mask
from storage.match_cache import key_of
from storage.records import hash_ids
from storage.rows import SegmentRows
from vectoray.core.filters import Filter
from vectoray.core.model import Point


class Listed(NamedTuple):
    """A point's place: sorted, newer points come first, and those of the same time by id.

    Attributes:
        negated_ms: `vectoray.core.model.Point.created_ms`, times -1.
    """

    negated_ms: int
    id: str


class Listing(NamedTuple):
    """The first points of those that were asked for, sorted, and how many there are altogether."""

    first: Sequence[Listed]
    total: int


class ScanStep(NamedTuple):
    """Some points of a scan.

    Attributes:
        next_hash: Where the next step begins; None when there are no more points.
    """

    points: Sequence[Point]
    next_hash: int | None


def newest(head: Head, count: int, condition: Filter | None = None) -> Listing:
    """The first ``count`` live points that meet a condition, if there is one; newest first."""
    parts = _dated(head, condition)
    times = np.concatenate([part.created_ms for part in parts])
    if count < len(times):
        # With all that were made in the same millisecond: their ids decide.
        at = len(times) - count
        oldest = np.partition(times, at)[at] if count else np.iinfo(np.int64).max
    else:
        oldest = np.iinfo(np.int64).min
    first = sorted(listed for part in parts for listed in part.since(int(oldest)))
    return Listing(first[:count], len(times))


def first_of(listings: Sequence[Listing], count: int) -> Listing:
    """The first ``count`` points of several shards, from the listings of each."""
    first = sorted(listed for listing in listings for listed in listing.first)
    return Listing(first[:count], sum(listing.total for listing in listings))


def scan(head: Head, start_hash: int, count: int, condition: Filter | None = None) -> ScanStep:
    """The first live points that meet a condition, if there is one, by the hash of their ids, from a hash on.

    An id's place never changes. Steps that each begin where the one before ended find every point that is
    there all the time exactly once, whatever is written or merged between them.

    Args:
        head: The shard's state; each step may have its own.
        start_hash: The least hash; 0 in the first step.
        count: How many points, at least 1. There are more if several share the last hash.
        condition: Only points whose payload meets it.
    """
    parts = _hashed(head, start_hash, condition)
    everything = np.concatenate([part.hashes for part in parts])
    last = None
    if len(everything) > count:
        last = np.partition(everything, count - 1)[count - 1]
        parts = [part.through(last) for part in parts]
    hashes = np.concatenate([part.hashes for part in parts])
    points = [point for part in parts for point in _points(part.take(part.rows))]
    in_order = [points[at] for at in np.argsort(hashes, kind="stable").tolist()]
    return ScanStep(in_order, int(last) + 1 if last is not None and len(points) < len(everything) else None)


class _Dated(NamedTuple):
    """Rows of a segment or of the tail, and when their ids were made: int64, both of shape (n,)."""

    rows: npt.NDArray[np.int64]
    created_ms: npt.NDArray[np.int64]
    id: Callable[[int], str]

    def since(self, oldest: int) -> list[Listed]:
        chosen = np.flatnonzero(self.created_ms >= oldest)
        pairs = zip(self.created_ms[chosen].tolist(), self.rows[chosen].tolist(), strict=True)
        return [Listed(-ms, self.id(row)) for ms, row in pairs]


def _dated(head: Head, condition: Filter | None) -> list[_Dated]:
    key = "" if condition is None else key_of(condition)
    rows = np.flatnonzero(tail_mask(head, condition, key))
    parts = [_Dated(rows, head.tail.created_ms[rows], head.tail.ids.__getitem__)]
    for live in head.segments:
        rows = np.flatnonzero(segment_mask(head, live, condition, key))
        parts.append(_Dated(rows, live.segment.created_ms[rows], live.segment.id))
    return parts


class _Hashed(NamedTuple):
    """Rows of a segment or of the tail: int64, and the hashes of their ids: uint64, both of shape (n,)."""

    rows: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    take: Callable[[npt.NDArray[np.int64]], SegmentRows]

    def through(self, last: np.uint64) -> "_Hashed":
        chosen = self.hashes <= last
        return self._replace(rows=self.rows[chosen], hashes=self.hashes[chosen])


def _hashed(head: Head, start_hash: int, condition: Filter | None) -> list[_Hashed]:
    key = "" if condition is None else key_of(condition)
    start = np.uint64(start_hash)
    rows = np.flatnonzero(tail_mask(head, condition, key))
    hashes = hash_ids([head.tail.ids[row] for row in rows.tolist()])
    chosen = hashes >= start
    parts = [_Hashed(rows[chosen], hashes[chosen], head.tail.take)]
    for live in head.segments:
        hashes = live.segment.hashes_by_row()
        rows = np.flatnonzero(segment_mask(head, live, condition, key) & (hashes >= start))
        parts.append(_Hashed(rows, hashes[rows], live.segment.take))
    return parts


def _points(rows: SegmentRows) -> list[Point]:
    return [
        Point(
            id=point_id,
            # A copy: a caller that keeps one vector keeps no others.
            vector=vector.copy(),
            payload=payload,
            text=text,
            seq=seq,
            updated_ms=updated_ms,
            created_ms=created_ms,
            source=source,
            chunk_index=chunk_index(chunk),
        )
        for point_id, vector, payload, text, seq, updated_ms, created_ms, source, chunk in zip(
            rows.ids,
            rows.vectors,
            rows.payloads,
            rows.texts,
            rows.seqs.tolist(),
            rows.updated_ms.tolist(),
            rows.created_ms.tolist(),
            rows.sources,
            rows.chunk_indexes.tolist(),
            strict=True,
        )
    ]
