"""Segments are merged while writes and searches go on: no point is lost, doubled or revived."""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import files, merging, owned_shard, segment_files
from storage import writer as writer_module
from storage.bulk import write_fragment
from storage.graph import BuildStoppedError, Graph
from storage.segment import Segment
from storage.segment_files import merge_segments
from storage.settings import StorageSettings
from storage.table_read import read_live_points
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, OpenShard, batch_of, clustered
from vectoray.core.errors import ShardLocked, StorageFull, Unavailable
from vectoray.core.model import SearchQuery

EVERYTHING = SearchQuery(np.ones(DIMENSION, dtype=np.float32), 100_000)


def ids_in(writer: ShardWriter) -> list[str]:
    """The ids that a search finds, each as often as it does."""
    return sorted(hit.id for hit in writer.search(EVERYTHING))


def before_and_after_reopening(writer: ShardWriter, open_shard: OpenShard) -> Iterator[ShardWriter]:
    yield writer
    writer.close()
    yield open_shard()


def segments_of(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "shard" / "segments").iterdir())


def filled(open_shard: OpenShard, segments: int = 3, rows: int = 40, **options: Any) -> ShardWriter:
    """Points 0, 1, 2, ... in some segments."""
    writer = open_shard(**options)
    vectors = clustered(segments * rows)
    for start in range(0, segments * rows, rows):
        part = [str(row) for row in range(start, start + rows)]
        writer.upsert(batch_of(part, vectors[start : start + rows])).result()
        writer.seal()
    return writer


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, when the next merged segment is written but not published."""
    left = [act]

    def merge_and_act(*args: Any, **options: Any) -> None:
        merge_segments(*args, **options)
        if left:
            left.pop()()

    monkeypatch.setattr(merging, "merge_segments", merge_and_act)


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("seals", [False, True])
def test_what_is_written_and_deleted_while_segments_merge_counts(
    open_shard: OpenShard,
    monkeypatch: pytest.MonkeyPatch,
    seals: bool,  # noqa: FBT001
) -> None:
    writer = filled(open_shard)

    def act() -> None:
        writer.delete(["3", "50"]).result()
        writer.upsert(batch_of(["4", "new"], clustered(2), b'{"n":2}')).result()
        if seals:
            writer.seal()
        writer.delete(["5", "new"]).result()

    meanwhile(monkeypatch, act)
    assert writer.merge()
    expected = sorted({str(row) for row in range(120)} - {"3", "50", "5"})
    for opened in before_and_after_reopening(writer, open_shard):
        assert ids_in(opened) == expected
        assert opened.stats().points == len(expected)
        point = opened.get("4")
        assert point is not None
        assert point.payload == b'{"n":2}'


def test_rows_that_a_bulk_load_replaces_while_segments_merge_stay_replaced(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = filled(open_shard)
    fragment = write_fragment(
        tmp_path / "shard", "job", "part", batch_of(["7", "90", "new"], clustered(3), b'{"n":2}')
    )

    def act() -> None:
        assert writer.commit_fragments("job", "part", [fragment])
        writer.delete(["8"]).result()

    meanwhile(monkeypatch, act)
    assert writer.merge()
    expected = sorted({str(row) for row in range(120)} - {"8"} | {"new"})
    for opened in before_and_after_reopening(writer, open_shard):
        assert ids_in(opened) == expected
        assert opened.stats().points == len(expected)
        for point_id in ("7", "90"):
            point = opened.get(point_id)
            assert point is not None
            assert point.payload == b'{"n":2}'


@pytest.mark.usefixtures("small_graphs")
def test_of_an_id_in_two_fragments_the_table_has_the_later_row_whatever_was_merged_before_the_flush(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = filled(open_shard, segments=1, rows=10)
    fragments = [
        write_fragment(tmp_path / "shard", "job", "part", batch_of(["x", *others], clustered(40), payload))
        for others, payload in (
            ([f"first-{row}" for row in range(39)], b'{"n":1}'),
            ([f"second-{row}" for row in range(39)], b'{"n":2}'),
        )
    ]
    assert writer.commit_fragments("job", "part", fragments)
    small, first, _ = [live.segment.name for live in writer._view.head.segments]
    # The graph of the first fragment grows: its dead row comes behind the second fragment.
    monkeypatch.setattr(merging, "plan", lambda *_, **__: (first, small))
    assert writer.merge()
    writer.flush()
    rows = read_live_points(tmp_path / "shard" / "table", DIMENSION)[-1]
    assert rows is not None
    assert len(rows) == len(set(rows.ids)) == 89
    assert rows.payloads[list(rows.ids).index("x")] == b'{"n":2}'


@pytest.mark.usefixtures("small_graphs")
def test_closing_stops_a_merge_and_leaves_what_was_there(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = filled(open_shard)
    before = segments_of(tmp_path)
    building, add, stopped = threading.Event(), Graph.add, threading.Event()

    def slow(graph: Graph, *args: Any, should_stop: Callable[[], bool], **options: Any) -> None:
        building.set()
        assert writer._closing.wait(20)
        add(graph, *args, should_stop=should_stop, **options)

    monkeypatch.setattr(Graph, "add", slow)

    def merge() -> None:
        with pytest.raises(BuildStoppedError):
            writer.merge()
        stopped.set()

    thread = threading.Thread(target=merge)
    thread.start()
    assert building.wait(20)
    assert len(ids_in(writer)) == 120
    writer.upsert(batch_of(["late"], clustered(1))).result()
    writer.close(flush=False)
    thread.join(20)
    assert stopped.is_set()
    assert segments_of(tmp_path) == before
    monkeypatch.setattr(Graph, "add", add)
    again = open_shard()
    assert len(ids_in(again)) == 121
    assert again.merge()
    assert len(ids_in(again)) == 121


class RustPanicError(BaseException):
    """What PyO3 raises when a library panics."""


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def panic(*_: object, **__: object) -> None:
    raise RustPanicError


PLACES: list[tuple[object, str]] = [
    (segment_files, "merge_text_indexes"),
    (files, "publish_dir"),
    (Segment, "__init__"),
    (owned_shard, "write_dead_rows"),
    (owned_shard, "publish_manifest"),
]


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(
    ("module", "name", "fail"),
    # A manifest is written by Python alone.
    [
        (*place, fail)
        for place in PLACES
        for fail in (full, panic)
        if (place[1], fail) != ("publish_manifest", panic)
    ],
)
def test_a_merge_that_fails_anywhere_leaves_everything_as_it_was_and_may_be_tried_again(  # noqa: PLR0917
    open_shard: OpenShard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    fail: Callable[..., None],
) -> None:
    writer = filled(open_shard)

    # So that the merged segment has dead rows.
    def act() -> None:
        writer.delete(["3"]).result()
        writer.seal()

    meanwhile(monkeypatch, act)
    assert writer.merge()
    writer.delete(["1"]).result()
    writer.upsert(batch_of([f"more-{row}" for row in range(40)], clustered(40))).result()
    writer.seal()
    expected, before, manifest = ids_in(writer), segments_of(tmp_path), writer._owned.manifest
    for _ in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, fail)
            with pytest.raises((OSError, RustPanicError, StorageFull)):
                writer.merge()
        assert segments_of(tmp_path) == before
        assert writer._owned.manifest.segments == manifest.segments
        assert writer._owned.manifest.dead == manifest.dead
        assert ids_in(writer) == expected
    assert writer.merge()
    assert ids_in(writer) == expected
    assert len(segments_of(tmp_path)) == 1
    writer.close(flush=False)
    assert ids_in(open_shard()) == expected


@pytest.mark.parametrize("name", ["write_dead_rows", "publish_manifest"])
def test_a_seal_that_fails_leaves_no_segment(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    writer = filled(open_shard, segments=1)
    writer.delete(["3"]).result()
    writer.upsert(batch_of(["new"], clustered(1))).result()
    before = segments_of(tmp_path)
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(owned_shard, name, full)
            with pytest.raises(OSError if name == "write_dead_rows" else StorageFull):
                writer.seal()
        assert segments_of(tmp_path) == before
    writer.seal()
    assert len(ids_in(writer)) == 40


def test_a_merge_that_failed_is_tried_again_by_itself(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.01)
    failures, done = [full, panic], threading.Event()

    def fail_twice(*args: Any, **options: Any) -> None:
        if failures:
            failures.pop()()
        merge_segments(*args, **options)
        done.set()

    monkeypatch.setattr(merging, "merge_segments", fail_twice)
    writer = filled(open_shard, merges=True)
    assert done.wait(20)
    assert not failures
    assert len(ids_in(writer)) == 120


class HeldMerge:
    """Stops the first merge before it builds anything, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.merged: list[set[str]] = []
        monkeypatch.setattr(merging, "merge_segments", self._merge)

    def _merge(self, directory: Path, parts: Sequence[Any], **options: Any) -> None:
        self.merged.append({segment.name for segment, _ in parts})
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(20)
        merge_segments(directory, parts, **options)


def merging_for_now(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> tuple[ShardWriter, HeldMerge, "Future[bool]"]:
    """A shard of three segments, and a merge of them that has begun and is held."""
    writer = filled(open_shard)
    held = HeldMerge(monkeypatch)
    merge = pool.submit(writer.merge)
    assert held.begun.wait(20)
    return writer, held, merge


def test_those_that_merge_at_once_take_different_segments(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, held, first = merging_for_now(open_shard, pool, monkeypatch)
    assert not writer.merge()
    for row in range(120, 200, 40):
        writer.upsert(batch_of([str(at) for at in range(row, row + 40)], clustered(40))).result()
        writer.seal()
    writer.delete(["7"]).result()
    assert writer.merge()
    held.go_on.set()
    assert first.result(20)
    assert [len(names) for names in held.merged] == [3, 2]
    assert not held.merged[0] & held.merged[1]
    for opened in before_and_after_reopening(writer, open_shard):
        assert ids_in(opened) == sorted(str(row) for row in range(200) if row != 7)


def test_optimizing_waits_for_a_merge_under_way_and_merges_what_it_made(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, held, first = merging_for_now(open_shard, pool, monkeypatch)
    writer.upsert(batch_of([f"new-{row}" for row in range(10)], clustered(10))).result()
    optimizing = pool.submit(writer.optimize)
    with pytest.raises(TimeoutError):
        optimizing.result(0.2)
    held.go_on.set()
    optimizing.result(20)
    assert first.result(20)
    assert [len(live.segment) for live in writer._view.head.segments] == [130]


@pytest.mark.parametrize("step", ["merge", "optimize"])
def test_what_a_caller_could_not_merge_is_left_to_the_threads(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    # The threads do not merge; whether they are called is seen by the time that the caller failed.
    writer = filled(open_shard)
    calls: list[bool] = []
    failed = False

    def fail(*_: Any, **__: Any) -> None:
        nonlocal failed
        failed = True
        full()

    with monkeypatch.context() as patched:
        patched.setattr(merging, "merge_segments", fail)
        patched.setattr(writer, "_call_for_merges", lambda: calls.append(failed))
        with pytest.raises((OSError, StorageFull)):
            getattr(writer, step)()
    assert calls
    assert calls[-1]


def test_closing_waits_for_whoever_merges(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next owner would meet what is half-written."""
    writer, held, merge = merging_for_now(open_shard, pool, monkeypatch)
    closing = pool.submit(writer.close)
    with pytest.raises(TimeoutError):
        closing.result(0.2)
    with pytest.raises(ShardLocked):
        open_shard()
    held.go_on.set()
    closing.result(20)
    assert merge.exception(20) is None or isinstance(merge.exception(), BuildStoppedError | Unavailable)
    assert len(ids_in(open_shard())) == 120


@pytest.mark.slow
@pytest.mark.usefixtures("small_graphs")
def test_nothing_is_lost_doubled_or_revived_while_everything_happens_at_once(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard(merges=True, seal_rows=60, merge_factor=2)
    stable = {f"stable-{row}" for row in range(300)}
    writer.upsert(batch_of(sorted(stable), clustered(300))).result()
    stop, wrong = threading.Event(), list[object]()
    dead: list[str] = []
    kept: dict[str, int] = {}

    def write() -> None:
        random = np.random.default_rng(1)
        for round_ in range(50):
            ids = [f"moving-{row}" for row in random.integers(0, 60, 8).tolist()]
            writer.upsert(batch_of(ids, clustered(8, seed=round_), b'{"n":%d}' % round_)).result()
            kept.update(dict.fromkeys(ids, round_))
            gone = [f"moving-{row}" for row in set(random.integers(0, 60, 3).tolist())]
            writer.delete(gone).result()
            for point_id in gone:
                kept.pop(point_id, None)
            # These come once, and never again.
            writer.upsert(batch_of([f"once-{round_}"], clustered(1))).result()
            writer.delete([f"once-{round_}"]).result()
            dead.append(f"once-{round_}")

    def loop(step: Callable[[], object]) -> None:
        try:
            # A while each: threads that hardly ever wait would leave the one that writes no turn.
            while not stop.wait(0.03):
                step()
        except BaseException as error:
            wrong.append(error)
            raise

    def search() -> None:
        gone = set(dead)
        found = ids_in(writer)
        if len(set(found)) != len(found) or not stable <= set(found) or gone & set(found):
            wrong.append(found)

    copies = 0

    def copy() -> None:
        nonlocal copies
        with writer.hold() as paths:
            copies += 1
            for path in paths:
                target = tmp_path / f"copy-{copies}" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(tmp_path / "shard" / path, target)

    bulk = [f"bulk-{row}" for row in range(20)]
    loads = iter(range(12))

    def load() -> None:
        part = next(loads, None)
        if part is not None:
            batch = batch_of(bulk, clustered(20), b'{"n":%d}' % part)
            fragment = write_fragment(tmp_path / "shard", "job", str(part), batch)
            assert writer.commit_fragments("job", str(part), [fragment])
            kept.update(dict.fromkeys(bulk, part))

    steps: list[Callable[[], object]] = [search, search, writer.merge, writer.seal, writer.flush, copy, load]
    threads = [threading.Thread(target=loop, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        write()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    expected = sorted(stable | set(kept))
    for opened in before_and_after_reopening(writer, open_shard):
        assert ids_in(opened) == expected
        for point_id, round_ in kept.items():
            point = opened.get(point_id)
            assert point is not None
            assert point.payload == b'{"n":%d}' % round_
    for number in (1, copies):
        copied = ShardWriter(tmp_path / f"copy-{number}", StorageSettings())
        found = ids_in(copied)
        copied.close(flush=False)
        assert len(set(found)) == len(found)
        assert stable <= set(found)
