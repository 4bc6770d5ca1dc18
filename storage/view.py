"""What is live in a shard, in memory: mapped segments and the writes since, at one point of its history.

Every row carries the number of the write that made it (``seq``) and of the write that ended it
(``killed_at``). A search captures a `Head` and sees the rows made up to its ``seq`` and not ended by then:
a consistent state, without a lock, while one thread goes on applying writes. This is multi-version
concurrency control (Reed 1978) over append-only columns.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage import scoring
from storage.columns import chunk_index
from storage.head import Head, LiveSegment, killed_in, tail_mask
from storage.match_cache import key_of
from storage.records import Records, hash_ids
from storage.rows import SegmentRows, concatenate
from storage.search import hybrid_candidates, search
from storage.segment import Segment
from storage.tail import ALIVE, Tail
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import Metric, Point, SearchQuery, SearchResult

_STILL_ALIVE = int(ALIVE) - 1


class Written(NamedTuple):
    """The writes that made a live point: the last one's number, and the Unix time in ms of the first one."""

    seq: int
    created_ms: int


class ShardView:
    """The live points of one shard. One thread applies writes; any number search."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self._metric = metric
        self._segments: tuple[LiveSegment, ...] = ()
        self._tail = Tail(dimension, [], [], [], [])
        self._points = 0
        self._last_write_ms = 0
        self._seq = 0
        self.head = self._capture()

    @classmethod
    def of_segments(
        cls,
        segments: list[Segment],
        dead_rows: Mapping[str, npt.NDArray[np.uint32]],
        *,
        dimension: int,
        metric: Metric,
        seq: int,
        last_write_ms: int,
    ) -> "ShardView":
        """The state after write ``seq``: every row of the segments lives, except the dead ones."""
        view = cls(dimension, metric)
        live = []
        for segment in segments:
            killed_at = np.full(len(segment), ALIVE, dtype=np.uint64)
            killed_at[dead_rows.get(segment.name, [])] = 0
            view._points += int(np.count_nonzero(killed_at == ALIVE))
            live.append(LiveSegment(segment, killed_at))
        view._segments = tuple(live)
        view._seq = seq
        view._last_write_ms = last_write_ms
        view.head = view._capture()
        return view

    def _capture(self) -> Head:
        tail = self._tail
        return Head(
            segments=self._segments,
            vectors=tail.vectors,
            lengths=tail.lengths,
            killed_at=tail.killed_at,
            tail=tail,
            tail_rows=tail.count,
            seq=self._seq,
            points=self._points,
            last_write_ms=self._last_write_ms,
        )

    # Changes: one thread at a time.

    def apply(self, records: Records) -> None:
        """Make writes visible, all at once. Records at or before the current ``seq`` are passed over."""
        skip = max(0, self._seq + 1 - records.first_seq)
        if skip >= len(records):
            return
        deleted = records.deleted[skip:]
        written = np.flatnonzero(~deleted)
        first = self._append(records, skip, written)
        self._end_older(records.ids[skip:], deleted.tolist(), records.first_seq + skip, first)
        self._points += len(written)
        self._seq = records.last_seq
        self._last_write_ms = max(self._last_write_ms, int(records.updated_ms[-1]))
        self.head = self._capture()

    def _append(self, records: Records, skip: int, written: npt.NDArray[np.int64]) -> int:
        """Put the upserts of a run of writes at the end of the tail. Returns the first one's row."""
        vectors = records.vectors[len(records.vectors) - len(written) :]
        places = (written + skip).tolist()
        rows = SegmentRows(
            ids=[records.ids[at] for at in places],
            seqs=(written + (records.first_seq + skip)).astype(np.uint64),
            updated_ms=records.updated_ms[places],
            vectors=vectors,
            payloads=[records.payloads[at] for at in places],
            texts=[records.texts[at] for at in places],
            sources=[records.sources[at] for at in places],
            chunk_indexes=records.chunk_indexes[places],
            created_ms=records.created_ms[places],
        )
        return self._tail.append(rows, scoring.norms(vectors))

    def _end_older(self, ids: Sequence[str], deleted: list[bool], first_seq: int, tail_row: int) -> None:
        """End the rows that a run of writes replaces or deletes; its own rows begin at ``tail_row``."""
        tail = self._tail
        sealed: dict[str, int] = {}
        for seq, (point_id, is_deleted) in enumerate(zip(ids, deleted, strict=True), start=first_seq):
            if is_deleted:
                old = tail.rows_by_id.pop(point_id, None)
            else:
                # The new row is found before the old one ends: `get` never sees the id absent in between.
                old = tail.rows_by_id.get(point_id)
                tail.rows_by_id[point_id] = tail_row
                tail_row += 1
            if old is not None:
                tail.killed_at[old] = seq
                self._points -= 1
                # An id has one live row: none of the segments has one.
                sealed.setdefault(point_id, 0)
            else:
                sealed.setdefault(point_id, seq)
        older = [point_id for point_id, seq in sealed.items() if seq]
        if not older or not self._segments:
            return
        hashes = hash_ids(older)
        for live in self._segments:
            for at, row in live.segment.find(older, hashes, live.killed_at, _STILL_ALIVE):
                live.killed_at[row] = sealed[older[at]]
                self._points -= 1

    def replace_tail(self, count: int, sealed_rows: npt.NDArray[np.int64], segment: Segment | None) -> None:
        """Let a segment take the place of the first rows of the tail.

        Args:
            count: How many rows leave the tail.
            sealed_rows: Those of them that went into the segment, in its order.
            segment: The segment, or None when no row was alive.
        """
        old = self._tail
        rest = slice(count, old.count)
        n = old.count - count
        tail = Tail(self.dimension, old.ids[rest], old.payloads[rest], old.texts[rest], old.sources[rest])
        tail.vectors[:n], tail.lengths[:n] = old.vectors[rest], old.lengths[rest]
        tail.seqs[:n], tail.updated_ms[:n] = old.seqs[rest], old.updated_ms[rest]
        tail.created_ms[:n], tail.chunk_indexes[:n] = old.created_ms[rest], old.chunk_indexes[rest]
        tail.killed_at[:n] = old.killed_at[rest]
        alive = tail.killed_at[:n] == ALIVE
        tail.rows_by_id = {tail.ids[row]: row for row in np.flatnonzero(alive).tolist()}
        self._tail = tail
        if segment is not None:
            self._segments = (*self._segments, LiveSegment(segment, old.killed_at[sealed_rows]))
        self.head = self._capture()

    def replace_segments(
        self, merged: Sequence[LiveSegment], rows: Sequence[npt.NDArray[np.int64]], segment: Segment | None
    ) -> None:
        """Let one segment take the place of several.

        Args:
            merged: The segments to replace.
            rows: For each of them, the rows that went into ``segment``, in its order.
            segment: The new segment, or None when no row was alive.
        """
        names = {live.segment.name for live in merged}
        kept = tuple(live for live in self._segments if live.segment.name not in names)
        if segment is not None:
            kept = (*kept, LiveSegment(segment, killed_in(merged, rows)))
        self._segments = kept
        self.head = self._capture()

    def adopt(self, segments: tuple[LiveSegment, ...], seq: int, last_write_ms: int) -> None:
        """Let the shard have these segments, after write ``seq``; the tail is empty.

        Args:
            segments: All of them, see `storage.adoption`.
            seq: The write that made the last row of the last one.
            last_write_ms: When, Unix time in milliseconds.
        """
        self._segments = segments
        self._points = sum(int(np.count_nonzero(live.killed_at == ALIVE)) for live in segments)
        self._seq = seq
        self._last_write_ms = max(self._last_write_ms, last_write_ms)
        self.head = self._capture()

    def live_rows(self) -> SegmentRows:
        """Every live point, copied."""
        head = self.head
        parts = [live.segment.take(np.flatnonzero(live.killed_at > head.seq)) for live in head.segments]
        parts.append(head.tail.take(np.flatnonzero(head.killed_at[: head.tail_rows] > head.seq)))
        return concatenate(parts)

    # Reads: any thread.

    def written(self, ids: Sequence[str]) -> list[Written | None]:
        """The writes that made the live point of each id; None if there is none. For the applying thread."""
        head = self.head
        tail, rows_by_id = head.tail, head.tail.rows_by_id
        found = [
            Written(int(tail.seqs[row]), int(tail.created_ms[row]))
            if (row := rows_by_id.get(one)) is not None
            else None
            for one in ids
        ]
        places = [at for at, one in enumerate(found) if one is None]
        if places and head.segments:
            missing = [ids[at] for at in places]
            hashes = hash_ids(missing)
            for live in head.segments:
                segment = live.segment
                for at, row in segment.find(missing, hashes, live.killed_at, _STILL_ALIVE):
                    found[places[at]] = Written(int(segment.seqs[row]), int(segment.created_ms[row]))
        return found

    def matching_ids(self, condition: Filter) -> list[str]:
        """Ids of the live points that meet the condition. For the applying thread."""
        head, key = self.head, key_of(condition)
        ids = []
        for live in head.segments:
            rows = live.segment.matching(condition, key).rows
            ids += [live.segment.id(row) for row in rows[live.killed_at[rows] > head.seq].tolist()]
        return ids + [head.tail.ids[row] for row in np.flatnonzero(tail_mask(head, condition, key)).tolist()]

    def get(self, point_id: str) -> Point | None:
        """The live point with this id, at least as new as the newest acknowledged write."""
        # The head comes first: a row that ends while we look was still alive at the head.
        head = self.head
        tail = head.tail
        row = tail.rows_by_id.get(point_id)
        if row is not None:
            return Point(
                id=point_id,
                vector=tail.vectors[row].copy(),
                payload=tail.payloads[row],
                text=tail.texts[row],
                seq=int(tail.seqs[row]),
                updated_ms=int(tail.updated_ms[row]),
                created_ms=int(tail.created_ms[row]),
                source=tail.sources[row],
                chunk_index=chunk_index(int(tail.chunk_indexes[row])),
            )
        for live in head.segments:
            segment = live.segment
            at = segment.row_of(point_id, live.killed_at, head.seq)
            if at is not None:
                return Point(
                    id=point_id,
                    vector=segment.vectors[at].copy(),
                    payload=segment.payloads[at],
                    text=segment.text(at),
                    seq=int(segment.seqs[at]),
                    updated_ms=int(segment.updated_ms[at]),
                    created_ms=int(segment.created_ms[at]),
                    source=segment.source(at),
                    chunk_index=chunk_index(int(segment.chunk_indexes[at])),
                )
        return None

    def search(self, query: SearchQuery) -> SearchResult:
        """The best live points, by exact score, best first, ties broken by id."""
        return search((self.head,), self._metric, query)

    def search_hybrid(self, query: HybridQuery) -> list[Candidate]:
        """What `vectoray.core.fusion.fuse` needs of this shard."""
        return hybrid_candidates(self.head, self._metric, query)
