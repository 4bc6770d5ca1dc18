"""A shard into which nothing new comes: it merges further than is due, so that searches become quick."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from storage import compaction, merging, segment_files
from storage import writer as writer_module
from storage.graph import Graph
from storage.segment_files import merge_segments
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered

_LARGE, _SMALL = 400, 20
# Small segments do not join the large one while the shard is written to.
_FACTOR = 4


@pytest.fixture(autouse=True)
def graphs_for_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segment_files, compaction):
        monkeypatch.setattr(module, "GRAPH_MIN_ROWS", 64)


def fill(writer: ShardWriter, name: str, rows: int) -> None:
    writer.upsert(batch_of([f"{name}-{row}" for row in range(rows)], clustered(rows))).result()


def settled(open_shard: OpenShard, **options: Any) -> ShardWriter:
    """A large segment with a graph, and a small one that nothing is due for."""
    writer = open_shard(merge_factor=_FACTOR, **options)
    fill(writer, "large", _LARGE)
    writer.seal()
    while writer.merge():
        pass
    fill(writer, "small", _SMALL)
    writer.seal()
    assert not writer.merge()
    assert sizes(writer) == [_SMALL, _LARGE]
    return writer


def sizes(writer: ShardWriter) -> list[int]:
    return sorted(len(live.segment) for live in writer._view.head.segments)


def soon(holds: Callable[[], bool], *, within_s: float = 20.0) -> bool:
    end_s = time.monotonic() + within_s
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.01)
    return holds()


def within_a_moment(holds: Callable[[], bool]) -> bool:
    """Whether it holds within many times as long as the shard takes to rest."""
    return soon(holds, within_s=0.5)


def test_optimizing_leaves_one_segment(open_shard: OpenShard) -> None:
    writer = settled(open_shard)
    fill(writer, "tail", 3)
    writer.optimize()
    assert sizes(writer) == [_LARGE + _SMALL + 3]
    assert writer._view.head.segments[0].segment.graph is not None


def test_optimizing_leaves_alone_what_would_cost_far_more_than_it_gains(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_RESTING_FACTOR", 10)
    writer = settled(open_shard)
    writer.optimize()
    assert sizes(writer) == [_SMALL, _LARGE]


def test_a_shard_at_rest_seals_and_merges_by_itself(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_RESTING_SEAL_ROWS", _SMALL)
    settled(open_shard).close(flush=False)
    writer = open_shard(merges=True, merge_factor=_FACTOR, flush_interval_s=0.05)
    assert soon(lambda: sizes(writer) == [_LARGE + _SMALL])
    # Also after it was at rest before.
    fill(writer, "more", _SMALL)
    assert soon(lambda: sizes(writer) == [_LARGE + 2 * _SMALL])
    # Too few to be worth it.
    fill(writer, "few", _SMALL - 1)
    assert not within_a_moment(lambda: writer._view.head.tail_rows == 0)


@pytest.mark.slow
def test_a_shard_that_is_written_to_does_not_merge_what_is_not_due(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is sealed for long: a few rows at a time do not make a segment."""
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.75)
    settled(open_shard).close(flush=False)
    writer = open_shard(merges=True, merge_factor=_FACTOR)
    end_s = time.monotonic() + 3 * 0.75
    while time.monotonic() < end_s:
        fill(writer, "one", 1)
        time.sleep(0.01)
    assert sizes(writer) == [_SMALL, _LARGE]
    assert soon(lambda: len(sizes(writer)) == 1)


def test_a_shard_that_is_seldom_written_to_merges_too_but_seals_nothing_for_that(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_UNSEALED_S", 0.5)
    settled(open_shard).close(flush=False)
    writer = open_shard(merges=True, merge_factor=_FACTOR)
    # As if there were always a write a moment ago.
    writer._written_at_s = float("inf")
    fill(writer, "few", 600)
    writer._written_at_s = float("inf")
    assert soon(lambda: sizes(writer) == [_LARGE + _SMALL])
    assert writer._view.head.tail_rows == 600


def test_a_tail_is_sealed_at_rest_however_seldom_the_table_is_written(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_RESTING_SEAL_ROWS", _SMALL)
    writer = open_shard(flush_interval_s=86_400)
    fill(writer, "some", _SMALL)
    assert soon(lambda: sizes(writer) == [_SMALL])


def test_the_tail_is_sealed_before_a_shard_at_rest_merges(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the large segment would be written once without it, and soon again."""
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_RESTING_SEAL_ROWS", _SMALL)
    writer = settled(open_shard)
    fill(writer, "tail", _SMALL)
    writer.close(flush=False)
    made: list[int] = []

    def merge_and_note(directory: Path, parts: Any, **options: Any) -> None:
        made.append(sum(len(rows) for _, rows in parts))
        merge_segments(directory, parts, **options)

    seal_if_due = ShardWriter._seal_if_due

    def seal_late(writer: ShardWriter) -> None:
        # Time enough for the compaction thread to be the first.
        within_a_moment(lambda: bool(made))
        seal_if_due(writer)

    monkeypatch.setattr(ShardWriter, "_seal_if_due", seal_late)
    monkeypatch.setattr(merging, "merge_segments", merge_and_note)
    writer = open_shard(merges=True, merge_factor=_FACTOR)
    everything = _LARGE + 2 * _SMALL
    assert soon(lambda: sizes(writer) == [everything])
    assert made[-1] == everything
    assert sum(rows > _LARGE for rows in made) == 1


def test_a_merge_at_rest_that_fails_waits_for_something_new(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody needs it: it must not fill a disk again and again that others write to."""
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.01)
    settled(open_shard).close(flush=False)
    tried: list[Path] = []

    def refuse(directory: Path, *_: Any, **__: Any) -> None:
        tried.append(directory)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(merging, "merge_segments", refuse)
    writer = open_shard(merges=True, merge_factor=_FACTOR)
    with capture_logs():
        assert soon(lambda: bool(tried))
        assert not within_a_moment(lambda: len(tried) > 1)
        fill(writer, "more", _SMALL)
        writer.seal()
        assert soon(lambda: len(tried) > 1)
        writer.close(flush=False)


def test_what_no_graph_finds_is_not_merged_again_at_rest(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph would be built of it from nothing, for the few rows that join it, and refused again."""
    monkeypatch.setattr(Graph, "finds_its_rows", lambda *_, **__: False)
    writer = settled(open_shard)
    writer.optimize()
    assert sizes(writer) == [_SMALL, _LARGE]


def test_a_merge_at_rest_gives_way_to_writers(open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they would wait for its end: it may take minutes."""
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    monkeypatch.setattr(writer_module, "_GIVE_WAY_PART", 4096 // 10)
    settled(open_shard).close(flush=False)
    stopped: list[bool] = []

    def merge_and_note(*args: Any, should_stop: Callable[[], bool], **options: Any) -> None:
        if not stopped:
            fill(writer, "new", 11)
            writer.seal()
            stopped.append(should_stop())
        merge_segments(*args, should_stop=should_stop, **options)

    monkeypatch.setattr(merging, "merge_segments", merge_and_note)
    writer = open_shard(merges=True, merge_factor=_FACTOR, max_unindexed_rows=4096)
    assert soon(lambda: bool(stopped))
    assert stopped == [True]


def test_a_shard_that_is_written_to_again_stops_merging_what_is_not_due(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else every few rows that came during a merge would be merged with the largest segment."""
    monkeypatch.setattr(writer_module, "_RESTS_AFTER_S", 0.05)
    settled(open_shard).close(flush=False)
    merges: list[int] = []

    def merge_and_write(*args: Any, **options: Any) -> None:
        merge_segments(*args, **options)
        merges.append(len(merges))
        fill(writer, f"new-{len(merges)}", _SMALL)
        writer.seal()
        # As if there were always a write a moment ago.
        writer._written_at_s = float("inf")

    monkeypatch.setattr(merging, "merge_segments", merge_and_write)
    writer = open_shard(merges=True, merge_factor=_FACTOR)
    assert soon(lambda: bool(merges))
    assert not within_a_moment(lambda: len(merges) > 1)
    assert sizes(writer) == [_SMALL, _LARGE + _SMALL]
