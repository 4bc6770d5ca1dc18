"""What is live in a shard, in memory: mapped segments and the writes since, at one point of its history.

Every row carries the number of the write that made it (``seq``) and of the write that ended it
(``killed_at``). A search captures a `Head` and sees the rows made up to its ``seq`` and not ended by then:
a consistent state, without a lock, while one thread goes on applying writes. This is multi-version
concurrency control (Reed 1978) over append-only columns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage import scoring
from storage.filters import payload_test
from storage.records import Records
from storage.segment import Segment, SegmentRows, concatenate
from storage.tail import ALIVE, Tail
from vectoray.core.filters import Filter
from vectoray.core.model import FloatMatrix, FloatVector, Hit, Metric, Point, SearchQuery, SearchResult


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment and the write that ended each of its rows: uint64, shape (n,)."""

    segment: Segment
    killed_at: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Head:
    """One point of the shard's history, as a search captures it."""

    segments: tuple[LiveSegment, ...]
    vectors: FloatMatrix
    lengths: FloatVector
    killed_at: npt.NDArray[np.uint64]
    tail: Tail
    tail_rows: int
    seq: int
    points: int
    last_write_ms: int


class ShardView:
    """The live points of one shard. One thread applies writes; any number search."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self._metric = metric
        self._segments: tuple[LiveSegment, ...] = ()
        self._tail = Tail(dimension)
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
        vector_rows = np.cumsum(~records.deleted) - 1
        lengths = scoring.norms(records.vectors)
        self._tail.reserve(int(np.count_nonzero(~records.deleted[skip:])))
        for row in range(skip, len(records)):
            if records.deleted[row]:
                self._delete(records.ids[row], records.first_seq + row)
            else:
                self._upsert(records, row, int(vector_rows[row]), lengths)
        self._seq = records.last_seq
        self._last_write_ms = max(self._last_write_ms, int(records.updated_ms[-1]))
        self.head = self._capture()

    def _upsert(self, records: Records, row: int, vector_row: int, lengths: FloatVector) -> None:
        tail, point_id, seq = self._tail, records.ids[row], records.first_seq + row
        at = tail.count
        tail.vectors[at] = records.vectors[vector_row]
        tail.lengths[at] = lengths[vector_row]
        tail.seqs[at] = seq
        tail.updated_ms[at] = records.updated_ms[row]
        tail.killed_at[at] = ALIVE
        tail.ids.append(point_id)
        tail.payloads.append(records.payloads[row])
        tail.texts.append(records.texts[row])
        tail.count = at + 1
        # The new row is found before the old one ends: `get` never sees the id absent in between.
        old = tail.rows_by_id.get(point_id)
        tail.rows_by_id[point_id] = at
        self._points += 1
        self._kill(point_id, old, seq)

    def _delete(self, point_id: str, seq: int) -> None:
        self._kill(point_id, self._tail.rows_by_id.pop(point_id, None), seq)

    def _kill(self, point_id: str, tail_row: int | None, seq: int) -> None:
        if tail_row is not None:
            self._tail.killed_at[tail_row] = seq
            self._points -= 1
            return
        for live in self._segments:
            for row in live.segment.rows_of(point_id):
                if live.killed_at[row] == ALIVE:
                    live.killed_at[row] = seq
                    self._points -= 1
                    return

    def replace_tail(self, count: int, sealed_rows: npt.NDArray[np.int64], segment: Segment | None) -> None:
        """Let a segment take the place of the first rows of the tail.

        Args:
            count: How many rows leave the tail.
            sealed_rows: Those of them that went into the segment, in its order.
            segment: The segment, or None when no row was alive.
        """
        old = self._tail
        rest = np.arange(count, old.count, dtype=np.int64)
        tail = Tail(self.dimension)
        tail.reserve(len(rest))
        moved = old.take(rest)
        n = len(rest)
        tail.vectors[:n], tail.lengths[:n] = moved.vectors, old.lengths[rest]
        tail.seqs[:n], tail.updated_ms[:n] = moved.seqs, moved.updated_ms
        tail.killed_at[:n] = old.killed_at[rest]
        tail.ids, tail.payloads, tail.texts = list(moved.ids), list(moved.payloads), list(moved.texts)
        tail.count = n
        tail.rows_by_id = {
            point_id: row for row, point_id in enumerate(tail.ids) if tail.killed_at[row] == ALIVE
        }
        self._tail = tail
        if segment is not None:
            self._segments = (*self._segments, LiveSegment(segment, old.killed_at[sealed_rows]))
        self.head = self._capture()

    def replace_segments(
        self, merged: tuple[LiveSegment, ...], rows: list[npt.NDArray[np.int64]], segment: Segment | None
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
            killed_at = np.concatenate(
                [live.killed_at[part] for live, part in zip(merged, rows, strict=True)]
            )
            kept = (*kept, LiveSegment(segment, killed_at))
        self._segments = kept
        self.head = self._capture()

    def live_rows(self) -> SegmentRows:
        """Every live point, copied."""
        head = self.head
        parts = [live.segment.take(np.flatnonzero(live.killed_at > head.seq)) for live in head.segments]
        parts.append(head.tail.take(np.flatnonzero(head.killed_at[: head.tail_rows] > head.seq)))
        return concatenate(parts)

    # Reads: any thread.

    def seq_of(self, point_id: str) -> int:
        """The write that made the live point with this id; 0 when there is none. For the applying thread."""
        head = self.head
        at = head.tail.rows_by_id.get(point_id)
        if at is not None:
            return int(head.tail.seqs[at])
        for live in head.segments:
            for row in live.segment.rows_of(point_id):
                if live.killed_at[row] == ALIVE:
                    return int(live.segment.seqs[row])
        return 0

    def matching_ids(self, condition: Filter) -> list[str]:
        """Ids of the live points whose payload meets the condition. For the applying thread."""
        head = self.head
        ids = []
        for live in head.segments:
            rows = _matching(condition, np.flatnonzero(live.killed_at > head.seq), live.segment.payload)
            ids += [live.segment.id(row) for row in rows.tolist()]
        tail_rows = np.flatnonzero(head.killed_at[: head.tail_rows] > head.seq)
        rows = _matching(condition, tail_rows, head.tail.payloads.__getitem__)
        return ids + [head.tail.ids[row] for row in rows.tolist()]

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
            )
        for live in head.segments:
            segment = live.segment
            for at in segment.rows_of(point_id):
                if live.killed_at[at] > head.seq:
                    return Point(
                        id=point_id,
                        vector=segment.vectors[at].copy(),
                        payload=segment.payload(at),
                        text=segment.text(at),
                        seq=int(segment.seqs[at]),
                        updated_ms=int(segment.updated_ms[at]),
                    )
        return None

    def search(self, query: SearchQuery) -> SearchResult:
        """The best live points, by exact score, best first, ties broken by id."""
        head = self.head
        hits: list[tuple[float, str, LiveSegment | None, int]] = []
        for live in head.segments:
            rows = self._segment_rows(live, query, head.seq)
            scores = scoring.exact_scores(self._metric, query.vector, live.segment.vectors[rows])
            hits += self._ranked(query, rows, scores, live, head)
        rows = self._tail_rows(query, head)
        scores = scoring.exact_scores(self._metric, query.vector, head.vectors[rows])
        hits += self._ranked(query, rows, scores, None, head)
        hits.sort(key=lambda hit: (-hit[0], hit[1]))
        return SearchResult(
            tuple(
                self._hit(score, point_id, live, row, query=query, head=head)
                for score, point_id, live, row in hits[: query.top_k]
            )
        )

    def _segment_rows(self, live: LiveSegment, query: SearchQuery, seq: int) -> npt.NDArray[np.int64]:
        segment = live.segment
        if query.filter is None:
            return segment.search(query.vector, query.top_k, killed_at=live.killed_at, seq=seq)
        alive = np.flatnonzero(live.killed_at > seq)
        return segment.scan(query.vector, query.top_k, _matching(query.filter, alive, segment.payload))

    def _tail_rows(self, query: SearchQuery, head: Head) -> npt.NDArray[np.int64]:
        rows = np.flatnonzero(head.killed_at[: head.tail_rows] > head.seq)
        if query.filter is not None:
            rows = _matching(query.filter, rows, head.tail.payloads.__getitem__)
        return scoring.scan(
            self._metric,
            query.vector,
            head.vectors[: head.tail_rows],
            head.lengths[: head.tail_rows],
            rows=rows,
            k=query.top_k,
        )

    @staticmethod
    def _ranked(
        query: SearchQuery,
        rows: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        live: LiveSegment | None,
        head: Head,
    ) -> list[tuple[float, str, LiveSegment | None, int]]:
        """The part's best ``top_k`` with their ids; more only where scores tie at the end."""
        if query.score_threshold is not None:
            kept = scores >= query.score_threshold
            rows, scores = rows[kept], scores[kept]
        if len(rows) > query.top_k:
            kth = np.partition(scores, len(scores) - query.top_k)[len(scores) - query.top_k]
            kept = scores >= kth
            rows, scores = rows[kept], scores[kept]
        ids = live.segment.id if live is not None else head.tail.ids.__getitem__
        return [
            (score, ids(row), live, row) for score, row in zip(scores.tolist(), rows.tolist(), strict=True)
        ]

    @staticmethod
    def _hit(
        score: float, point_id: str, live: LiveSegment | None, row: int, *, query: SearchQuery, head: Head
    ) -> Hit:
        if live is None:
            payload, text, vector = head.tail.payloads[row], head.tail.texts[row], head.vectors[row]
        else:
            segment = live.segment
            payload, text, vector = segment.payload(row), segment.text(row), segment.vectors[row]
        return Hit(
            id=point_id,
            score=score,
            payload=payload,
            text=text,
            vector=vector.copy() if query.include_vectors else None,
        )


def _matching(
    condition: Filter, rows: npt.NDArray[np.int64], payload_of: Callable[[int], bytes]
) -> npt.NDArray[np.int64]:
    test = payload_test(condition)
    return rows[np.fromiter((test(payload_of(row)) for row in rows.tolist()), np.bool_, len(rows))]
