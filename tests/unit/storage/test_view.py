"""The view follows groups of writes, seals and merges as a dict does."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import segment as segment_module
from storage import segment_files
from storage import view as view_module
from storage.columns import NO_CHUNK
from storage.records import Records, WriteKind
from storage.rows import SegmentRows
from storage.search import search
from storage.segment import Segment
from storage.segment_files import merge_segments, write_segment
from storage.tail import ALIVE
from storage.view import ShardView
from vectoray.core.filters import Exists
from vectoray.core.model import IndexOptions, Metric, SearchQuery

IDS = ["a", "b", "c", "d", "e"]
OPTIONS = IndexOptions()
# What happened to an id in a group: whether it was deleted.
Group = list[tuple[str, bool]]


class Followed:
    """A view, and the dict that says for each live id which write made it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.view = ShardView(1, Metric.DOT)
        self.live: dict[str, int] = {}
        self.made = 0

    def apply(self, group: Group) -> None:
        first = self.view.head.seq + 1
        deleted = np.array([gone for _, gone in group], dtype=np.bool_)
        seqs = np.arange(first, first + len(group))
        self.view.apply(
            Records(
                first_seq=first,
                ids=[point_id for point_id, _ in group],
                updated_ms=seqs.astype(np.int64),
                kinds=np.where(deleted, WriteKind.DELETE, WriteKind.UPSERT).astype(np.uint8),
                # A point's vector and text tell which write made it.
                vectors=seqs[~deleted].astype(np.float32)[:, np.newaxis],
                payloads=[b"{}" if gone else b'{"n":1}' for _, gone in group],
                texts=[None if gone else str(seq) for seq, (_, gone) in zip(seqs, group, strict=True)],
                sources=[None if gone else f"s{seq}" for seq, (_, gone) in zip(seqs, group, strict=True)],
                chunk_indexes=np.where(deleted | (seqs % 3 == 0), NO_CHUNK, seqs).astype(np.int32),
                created_ms=seqs.astype(np.int64) + 100,
            )
        )
        for seq, (point_id, gone) in zip(seqs.tolist(), group, strict=True):
            self.live.pop(point_id, None)
            if not gone:
                self.live[point_id] = seq

    def seal(self, share: float) -> None:
        """Seal the first writes of the tail, as of a state that may be past."""
        head = self.view.head
        count = int(share * head.tail_rows)
        through = int(head.tail.seqs[count - 1]) if count else 0
        rows = np.flatnonzero(head.killed_at[:count] > through)
        segment = self._segment(head.tail.take(rows)) if len(rows) else None
        self.view.replace_tail(count, rows, segment)

    def merge(self, keep_dead: bool) -> None:  # noqa: FBT001
        merged = self.view.head.segments[-3:]
        rows = [np.flatnonzero(live.killed_at == ALIVE) for live in merged]
        if keep_dead and rows:
            rows[0] = np.arange(len(merged[0].segment))
        segment = None
        if sum(map(len, rows)):
            merge_segments(
                self._new(),
                [(live.segment, part) for live, part in zip(merged, rows, strict=True)],
                metric=Metric.DOT,
                options=OPTIONS,
            )
            segment = self._opened()
        self.view.replace_segments(merged, rows, segment)

    def _segment(self, rows: SegmentRows) -> Segment:
        write_segment(self._new(), rows, metric=Metric.DOT, options=OPTIONS, with_graph=False)
        return self._opened()

    def _new(self) -> Path:
        self.made += 1
        return self.directory / str(self.made)

    def _opened(self) -> Segment:
        return Segment(self.directory / str(self.made), Metric.DOT, OPTIONS, verify=False)

    def check(self) -> None:
        assert self.view.head.points == len(self.live)
        assert self.view.written([*IDS, "absent"]) == [
            (seq, seq + 100) if (seq := self.live.get(one)) else None for one in [*IDS, "absent"]
        ]
        assert sorted(self.view.matching_ids(Exists(("n",)))) == sorted(self.live)
        rows = self.view.live_rows()
        assert dict(zip(rows.ids, rows.seqs.tolist(), strict=True)) == self.live
        assert len(rows) == len(self.live)
        for point_id in IDS:
            point = self.view.get(point_id)
            assert (point and (point.seq, point.text, float(point.vector[0]))) == (
                (seq := self.live.get(point_id)) and (seq, str(seq), float(seq))
            )
            if point is not None:
                chunk_index = None if point.seq % 3 == 0 else point.seq
                assert (point.source, point.chunk_index) == (f"s{point.seq}", chunk_index)
                assert point.created_ms == point.seq + 100
        hits = self.view.search(SearchQuery(np.ones(1, dtype=np.float32), 99)).hits
        assert [(hit.id, hit.score) for hit in hits] == sorted(self.live.items(), key=lambda one: -one[1])


groups = st.lists(st.tuples(st.sampled_from(IDS), st.booleans()), min_size=1, max_size=12)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), groups),
        st.tuples(st.just("seal"), st.floats(0, 1)),
        st.tuples(st.just("merge"), st.booleans()),
    ),
    max_size=14,
)


@given(groups, st.floats(0, 1), steps)
def test_groups_that_write_and_delete_the_same_ids_again_and_again(
    first: Group, share: float, history: list[tuple[str, object]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        followed = Followed(Path(directory))
        followed.apply(first)
        followed.seal(share)
        followed.check()
        for step, how in history:
            getattr(followed, step)(how)
            followed.check()


def test_records_that_the_view_holds_already_are_passed_over(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.apply([("a", False), ("b", False)])
    head = followed.view.head
    tail = head.tail
    overlapping = Records(
        first_seq=1,
        ids=["x", "y", "a", "c"],
        updated_ms=np.arange(1, 5, dtype=np.int64),
        kinds=np.array([0, 3, 3, 0], dtype=np.uint8),
        vectors=np.array([[1], [4]], dtype=np.float32),
        payloads=[b'{"n":1}', b"{}", b"{}", b'{"n":1}'],
        texts=["1", None, None, "4"],
        sources=["s1", None, None, "s4"],
        chunk_indexes=np.array([1, NO_CHUNK, NO_CHUNK, 4], dtype=np.int32),
        created_ms=np.arange(101, 105, dtype=np.int64),
    )
    followed.view.apply(overlapping)
    followed.live = {"b": 2, "c": 4}
    followed.check()
    assert tail.count == 3
    followed.view.apply(overlapping)
    followed.check()


def weak_hashes(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    return np.array([2**64 - 1 - ord(point_id[0]) % 2 for point_id in ids], dtype=np.uint64)


def test_an_id_is_found_among_others_of_its_hash_and_its_own_dead_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (segment_files, view_module):
        monkeypatch.setattr(module, "hash_ids", weak_hashes)
    monkeypatch.setattr(segment_module, "hash_id", lambda point_id: int(weak_hashes([point_id])[0]))
    followed = Followed(tmp_path)
    for _ in range(3):
        followed.apply([(point_id, False) for point_id in IDS])
        followed.seal(1)
        followed.check()
    # The dead rows of the oldest segment stay.
    followed.merge(keep_dead=True)
    assert [len(live.segment) for live in followed.view.head.segments] == [10]
    followed.check()
    followed.apply([("a", True), ("c", False), ("b", True), ("b", False)])
    followed.check()
    followed.seal(1)
    followed.merge(keep_dead=True)
    followed.check()


def test_a_search_sees_the_state_that_it_began_with(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.apply([(point_id, False) for point_id in IDS])
    followed.seal(0.6)
    view = followed.view
    head, expected = view.head, dict(followed.live)
    followed.apply([("a", True), ("d", True), ("b", False), ("e", False)])
    followed.seal(1)
    followed.merge(keep_dead=False)
    query = SearchQuery(np.ones(1, dtype=np.float32), 99)
    hits = search((head,), Metric.DOT, query).hits
    assert {hit.id: hit.score for hit in hits} == expected
    followed.check()
