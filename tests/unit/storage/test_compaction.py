"""Which segments are merged: simulated histories settle, in few segments, at a bounded cost a row."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.compaction import MIN_LIVE_TO_GROW, STEP_ROWS, SegmentSize, plan
from storage.segment_files import GRAPH_MIN_ROWS


@dataclass
class Shard:
    """Segments without content, merged as `storage.writer.ShardWriter.merge` does."""

    merge_factor: int = 4
    max_rows: int = 2_000_000
    with_graphs: bool = True
    segments: list[SegmentSize] = field(default_factory=list)
    made: int = 0
    added: int = 0
    copied: int = 0
    inserted: int = 0

    def seal(self, rows: int) -> None:
        self._add(rows, rows, indexed=False)
        self.added += rows

    def delete(self, at: int, share: float) -> None:
        if self.segments:
            at %= len(self.segments)
            live = int(self.segments[at].live * (1 - share))
            self.segments[at] = replace(self.segments[at], live=live)

    def plan(self) -> tuple[str, ...]:
        return plan(
            self.segments,
            merge_factor=self.merge_factor,
            max_rows=self.max_rows,
            with_graphs=self.with_graphs,
        )

    def settle(self) -> None:
        # Every step leaves a segment less, or fewer dead rows, or fewer rows without a graph.
        for _ in range(3 * len(self.segments) + 1):
            names = self.plan()
            if not names:
                return
            self._merge(names)
        pytest.fail(f"still merging: {self.segments}")

    def _merge(self, names: Sequence[str]) -> None:
        assert len(set(names)) == len(names)
        by_name = {size.name: size for size in self.segments}
        merged = [by_name.pop(name) for name in names]
        self.segments = list(by_name.values())
        first = merged[0]
        grows = len(merged) > 1 and first.indexed and first.live >= MIN_LIVE_TO_GROW * first.rows
        live = sum(size.live for size in merged)
        rows = live + (first.rows - first.live if grows else 0)
        assert len(merged) == 1 or rows <= self.max_rows
        self.copied += rows
        indexed = self.with_graphs and rows >= GRAPH_MIN_ROWS
        if indexed:
            self.inserted += rows - (first.rows if grows else 0)
        if rows:
            self._add(rows, live, indexed=indexed)

    def _add(self, rows: int, live: int, *, indexed: bool) -> None:
        self.made += 1
        self.segments.append(SegmentSize(str(self.made), rows, live, indexed))


factors = st.integers(2, 16)
row_counts = st.one_of(st.integers(1, 40), st.integers(900, 9000), st.integers(1, 3_000_000))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("seal"), row_counts),
        st.tuples(st.just("delete"), st.integers(0, 99), st.floats(0, 1)),
        st.tuples(st.just("settle")),
    ),
    max_size=60,
)


@given(factors, st.booleans(), st.one_of(st.integers(1, 20_000), st.just(2_000_000)), steps)
def test_any_history_settles_within_the_bounds(
    merge_factor: int,
    with_graphs: bool,  # noqa: FBT001
    max_rows: int,
    history: list[tuple[str, int, float]],
) -> None:
    shard = Shard(merge_factor, max_rows, with_graphs)
    for step, *how in history:
        getattr(shard, step)(*how)
    shard.settle()
    for size in shard.segments:
        assert size.live
        assert size.live >= size.rows / 2
        assert not with_graphs or size.indexed or size.live < max(GRAPH_MIN_ROWS, 1)


@given(factors, st.booleans(), steps)
def test_segments_are_few_between_one_size_and_the_next_that_many_times_as_large(
    merge_factor: int,
    with_graphs: bool,  # noqa: FBT001
    history: list[tuple[str, int, float]],
) -> None:
    shard = Shard(merge_factor, 2**62, with_graphs)
    for step, *how in history:
        getattr(shard, step)(*how)
    shard.settle()
    ascending = sorted(size.live for size in shard.segments)
    together = 1 if with_graphs else merge_factor - 1
    for smaller, larger in zip(ascending, ascending[together:], strict=False):
        assert larger > merge_factor * smaller
    if ascending:
        # So their number is about the logarithm of the rows.
        spread = math.log(ascending[-1] / ascending[0], merge_factor)
        assert len(ascending) <= together * (1 + spread + 1e-9)


HISTORIES = {
    "equal": [4096] * 600,
    "between-one-and-two": [4096 + 4096 * at % 4095 for at in range(600)],
    "a-few-rows-in-between": [1 if at % 7 == 3 else 4096 for at in range(600)],
    "one-by-one": [1] * 1500,
    "ever-smaller": [1 + 100_000 // (at + 1) for at in range(600)],
    "ever-larger": [1 + 20 * at for at in range(600)],
    "bulk-after-bulk": [200_000, 3, 50_000] * 60,
}


@pytest.mark.parametrize("with_graphs", [True, False])
@pytest.mark.parametrize("merge_factor", [2, 4, 8])
@pytest.mark.parametrize("history", HISTORIES)
def test_every_row_is_copied_and_entered_into_a_graph_a_bounded_number_of_times(
    history: str,
    merge_factor: int,
    with_graphs: bool,  # noqa: FBT001
) -> None:
    shard = Shard(merge_factor, 2**62, with_graphs)
    most = 0
    for rows in HISTORIES[history]:
        shard.seal(rows)
        shard.settle()
        most = max(most, len(shard.segments))
    # A copied row is then in a segment larger by at least this share of itself; or waited for its graph.
    copies = 1 + math.log(shard.added, 1 + 1 / merge_factor)
    assert shard.copied / shard.added <= copies
    # A row enters a second graph only together with a larger segment's rows.
    assert shard.inserted / shard.added <= 1 + math.log2(max(2, shard.added / GRAPH_MIN_ROWS))
    together = 1 if with_graphs else merge_factor - 1
    assert most <= together * (1 + math.log(shard.added, merge_factor))
    # What it comes to; the bounds above are for the worst of all histories.
    assert shard.copied / shard.added < 20
    assert shard.inserted / shard.added < 3


def unindexed(rows: Iterable[int]) -> list[SegmentSize]:
    return [SegmentSize(str(at), count, count, indexed=False) for at, count in enumerate(rows)]


def test_a_segment_too_large_to_be_merged_gets_its_graph_alone() -> None:
    shard = Shard(max_rows=10_000)
    shard.seal(5)
    shard.seal(50_000)
    shard.settle()
    assert [(size.rows, size.indexed) for size in shard.segments] == [(5, False), (50_000, True)]


def test_segments_without_a_graph_get_one_together() -> None:
    assert set(plan(unindexed([300, 300, 500]), merge_factor=4, max_rows=10**6, with_graphs=True)) == {
        "0",
        "1",
        "2",
    }


def test_the_largest_graph_that_may_grow_comes_first() -> None:
    sizes = [
        SegmentSize("fresh", 4096, 4096, indexed=False),
        SegmentSize("grows", 9000, 8000, indexed=True),
        SegmentSize("many-dead", 10_000, 6000, indexed=True),
    ]
    names = plan(sizes, merge_factor=4, max_rows=10**6, with_graphs=True)
    assert names == ("grows", "many-dead", "fresh")


def test_a_segment_of_dead_rows_is_rewritten_before_anything_else() -> None:
    sizes = [*unindexed([4096, 4096]), SegmentSize("dead", 100, 49, indexed=True)]
    assert plan(sizes, merge_factor=2, max_rows=10**6, with_graphs=True) == ("dead",)
    assert plan(sizes, merge_factor=2, max_rows=10**6, with_graphs=False) == ("dead",)


def test_a_segment_whose_graph_was_refused_does_not_wait_for_another() -> None:
    # Refused or not, it says that it is indexed.
    assert (
        plan(
            [SegmentSize("refused", 5000, 5000, indexed=True)],
            merge_factor=4,
            max_rows=10**6,
            with_graphs=True,
        )
        == ()
    )


@pytest.mark.parametrize("with_graphs", [True, False])
def test_a_tiny_segment_does_not_keep_the_others_apart(with_graphs: bool) -> None:  # noqa: FBT001
    sizes = [SegmentSize(str(at), 10_000, 10_000, indexed=with_graphs) for at in range(4)]
    names = plan(
        [SegmentSize("tiny", 1, 1, indexed=False), *sizes],
        merge_factor=4,
        max_rows=10**6,
        with_graphs=with_graphs,
    )
    assert set(names) == {"0", "1", "2", "3"}


def test_dead_rows_that_a_growing_graph_keeps_count_as_rows() -> None:
    sizes = [SegmentSize("grows", 10_000, 8000, indexed=True), *unindexed([2000])]
    assert plan(sizes, merge_factor=4, max_rows=12_000, with_graphs=True) == ("grows", "0")
    assert plan(sizes, merge_factor=4, max_rows=11_999, with_graphs=True) == ("0",)


def test_without_graphs_as_many_segments_are_merged_as_the_factor_says() -> None:
    sizes = unindexed([4096] * 4)
    assert len(plan(sizes, merge_factor=4, max_rows=10**6, with_graphs=False)) == 4
    assert plan(sizes[1:], merge_factor=4, max_rows=10**6, with_graphs=False) == ()


def test_rows_that_wait_for_a_graph_get_one_in_bounded_steps() -> None:
    """Writers may be waiting for the end of each."""
    shard = Shard(
        segments=[SegmentSize("large", 76_000, 76_000, True), SegmentSize("s", 14_000, 14_000, True)]
    )
    for _ in range(10):
        shard.seal(8000)
    while any(not size.indexed for size in shard.segments):
        before = shard.inserted
        shard._merge(shard.plan())
        assert 0 < shard.inserted - before <= STEP_ROWS


@given(factors, steps)
def test_a_bounded_plan_adds_few_rows_to_graphs(
    merge_factor: int, history: list[tuple[str, int, float]]
) -> None:
    shard = Shard(merge_factor, 2**62)
    for step, *how in history:
        getattr(shard, step)(*how)
    for _ in range(100):
        largest = max((size.live for size in shard.segments if not size.indexed), default=0)
        names = plan(
            shard.segments, merge_factor=merge_factor, max_rows=2**62, with_graphs=True, max_added=STEP_ROWS
        )
        if not names:
            break
        before = shard.inserted
        shard._merge(names)
        # One segment may have been sealed larger than that.
        assert shard.inserted - before <= max(STEP_ROWS, largest)


def test_a_bounded_plan_leaves_alone_what_a_rebuild_left() -> None:
    sizes = [SegmentSize("rebuilt", 200_000, 200_000, indexed=False), *unindexed([2000])]
    bounded = plan(sizes, merge_factor=4, max_rows=10**6, with_graphs=True, max_added=STEP_ROWS)
    assert bounded == (sizes[1].name,)
    assert plan(sizes, merge_factor=4, max_rows=10**6, with_graphs=True) == ("rebuilt",)


def test_a_graph_that_was_refused_does_not_grow() -> None:
    sizes = [
        SegmentSize("fresh", 4096, 4096, indexed=False),
        SegmentSize("refused", 9000, 9000, indexed=True, refused=True),
        SegmentSize("grows", 8000, 8000, indexed=True),
    ]
    assert plan(sizes, merge_factor=4, max_rows=10**6, with_graphs=True) == ("grows", "fresh")
