"""Bugs that were found by review and by the state machine, each with the test that shows it."""

import asyncio
import errno
import os
import re
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from cluster import shards
from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from storage import files
from storage import view as view_module
from storage.log import WriteLog
from storage.scoring import norms, scan
from storage.settings import StorageSettings
from storage.view import ShardView
from storage.writer import ShardWriter
from tests.unit.cluster.conftest import QUIET, collection_of, write_of
from tests.unit.cluster.conftest import batch_of as docs_of
from tests.unit.core.test_errors import EVERY_ERROR
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_log import records
from tests.unit.storage.test_segment import built, rows_of
from vectoray.core import errors
from vectoray.core.errors import CorruptData, InternalError, ShardUnavailable
from vectoray.core.model import Metric, SearchQuery, WriteResult

DOCS = collection_of(2)


@contextmanager
def before_each_line_of(module: Any, functions: set[str], look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` before each line that these functions of a module run in this thread.

    Another thread may run at any of these places.
    """

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != module.__file__ or frame.f_code.co_name not in functions:
            return None
        if event == "line":
            sys.settrace(None)
            look()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


# Threads.


def test_a_point_can_be_read_while_the_tail_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    view = ShardView(3, Metric.COSINE)
    view.apply(records(1, [f"p{row}" for row in range(256)]))
    before = view.get("p7")
    assert before is not None
    wrong = []
    empty = np.empty

    def poisoned(*args: Any, **kwargs: Any) -> Any:
        array = empty(*args, **kwargs)
        array[...] = 77
        return array

    def look() -> None:
        now = view.get("p7")
        if now is None or now.seq != before.seq or not np.array_equal(now.vector, before.vector):
            wrong.append(now)

    monkeypatch.setattr(np, "empty", poisoned)
    with before_each_line_of(view_module, {"reserve", "_allocate"}, look):
        view.apply(records(257, ["one more than there is room for"]))
    assert wrong == []


@pytest.mark.slow
def test_a_delete_at_any_moment_of_a_seal_is_not_lost(open_shard: OpenShard) -> None:
    writer = open_shard()
    lost, moment, moments = [], 0, 1
    while moment < moments:
        point_id = f"deleted at line {moment}"
        writer.upsert(batch_of([point_id], clustered(1))).result()
        lines = count()
        deletes: list[Any] = []

        def look(
            moment: int = moment,
            lines: Iterator[int] = lines,
            deletes: list[Any] = deletes,
            point_id: str = point_id,
        ) -> None:
            if next(lines) == moment:
                deletes.append(writer.delete([point_id]))
                # One that is not done by now waits for the seal, which is right.
                wait(deletes, timeout=0.05)

        with before_each_line_of(view_module, {"replace_tail"}, look):
            writer.seal()
        if deletes[0].result(10) != [point_id] or writer.get(point_id) is not None:
            lost.append(moment)
        moment, moments = moment + 1, next(lines)
    assert moments > 3
    assert lost == []


# What a shard opens again.


def test_an_emptied_batch_of_the_log_is_damaged_data(tmp_path: Path) -> None:
    log = WriteLog(tmp_path)
    log.append(records(1, ["a"]))
    next(tmp_path.iterdir()).write_bytes(b"")
    with pytest.raises(CorruptData):
        log.read_one(1)


def test_a_counter_that_was_cut_short_is_set_anew_by_the_owner(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.close(flush=False)
    (tmp_path / "shard" / "GENERATION").write_bytes(b"")
    assert open_shard().get("a") is not None


def test_the_time_of_the_last_write_survives_though_it_was_a_delete(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(1_000_000_000_000_000_000, 1_000_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.delete(["a"]).result()
    writer.seal()
    before = writer.stats()
    writer.close()
    assert before.last_write_ms > 0
    assert open_shard().stats() == before


def test_a_shard_seals_after_it_ended_between_a_segment_and_its_manifest(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()

    def end_here(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer._owned, "publish", end_here)
    with pytest.raises(KeyboardInterrupt):
        writer.seal()
    writer.close(flush=False)

    again = open_shard()
    again.seal()
    assert again.get("a") is not None


def test_a_shard_that_lost_its_newest_manifest_can_still_be_flushed(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.upsert(batch_of(["b"], clustered(1))).result()
    writer.seal()
    writer.flush()
    writer.close(flush=False)
    max((tmp_path / "shard").glob("manifest-*.json")).unlink()

    again = open_shard()
    again.upsert(batch_of(["c"], clustered(1))).result()
    again.flush()
    again.close(flush=False)
    reopened = open_shard()
    assert [point_id for point_id in "abc" if reopened.get(point_id) is None] == []


def test_a_segment_whose_name_could_not_be_made_durable_is_not_left_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    place = tmp_path.stat().st_ino

    def fail_for_the_parent(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode) and found.st_ino == place:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_the_parent)
    with pytest.raises(OSError, match="Input/output"):
        built(tmp_path / "s", rows_of(["a"], clustered(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_holder_could_not_be_noted_can_be_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        # Whether it is given or refused, nobody else may find it held afterwards.
        with suppress(OSError):
            files.FileLock(tmp_path / "LOCK").release()
    files.FileLock(tmp_path / "LOCK").release()


# Extreme values, all of which `check_vector` accepts.


@pytest.mark.parametrize(
    ("metric", "query", "stored", "best"),
    [
        (Metric.COSINE, [1e-25, 0, 0], {"same": [1e-25, 0, 0], "other": [1, 1, 0]}, "same"),
        (Metric.COSINE, [3e38, 0, 0], {"same": [0.5, 0, 0], "other": [2, 2, 0]}, "same"),
        (Metric.COSINE, [3e38, 0, 0], {"worse": [-0.5, 0, 0], "other": [-2, 2, 0]}, "other"),
        (Metric.DOT, [1, 1, 1], {"high": [3.3e38, 0, 0], "low": [3e38, 3e38, -3.3e38]}, "high"),
        (Metric.EUCLIDEAN, [1e-4, 0, 0], {"b": [1e-4, 0, 0], "a": [1.0002e-4, 0, 0]}, "a"),
    ],
    ids=["underflow", "overflow", "negative-overflow", "partial-overflow", "equal-scores-by-id"],
)
def test_the_best_point_is_found_at_any_magnitude(
    open_shard: OpenShard, metric: Metric, query: list[float], stored: dict[str, list[float]], best: str
) -> None:
    writer = open_shard(metric=metric, dimension=3)
    vectors = np.array(list(stored.values()), dtype=np.float32)
    writer.upsert(batch_of(list(stored), vectors)).result()
    question = SearchQuery(np.array(query, dtype=np.float32), top_k=2)
    everything = writer.search(question).hits
    assert everything[0].id == best
    assert writer.search(replace(question, top_k=1)).hits == everything[:1]


def test_equal_scores_tie_however_large_they_are() -> None:
    random = np.random.default_rng(1)
    vector = (1e37 * random.random(40)).astype(np.float32)
    # The same values in another order: the same sum, whatever float32 makes of it on the way.
    vectors = np.stack([random.permutation(vector) for _ in range(200)])
    found = scan(Metric.DOT, np.ones(40, dtype=np.float32), vectors, norms(vectors), rows=np.arange(200), k=1)
    assert len(found) == 200


# The host of shards.


async def test_a_caller_that_goes_away_as_the_shard_opens_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    open_shard = host._open_shard

    async def open_and_go_away(*args: Any) -> ShardWriter:
        writer = await open_shard(*args)
        opened.append(writer)
        caller.cancel()
        return writer

    opened: list[ShardWriter] = []
    monkeypatch.setattr(host, "_open_shard", open_and_go_away)
    caller = asyncio.create_task(host.get(DOCS, {0: ["a"]}))
    with pytest.raises(asyncio.CancelledError):
        await caller
    monkeypatch.undo()
    try:
        assert await host.write(DOCS, {0: write_of(["a"])}) == {0: WriteResult(1)}
    finally:
        await host.close()
        if not opened[0].closed:
            opened[0].close(flush=False)


async def test_a_failed_opening_that_nobody_waited_for_does_not_fail_a_later_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    entered, released = threading.Event(), threading.Event()

    def broken(directory: Path, settings: StorageSettings) -> ShardWriter:
        entered.set()
        released.wait(10)
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(shards, "ShardWriter", broken)
        caller = asyncio.create_task(host.get(DOCS, {0: ["a"]}))
        await asyncio.to_thread(entered.wait, 10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        opening = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        released.set()
        await asyncio.wait(opening)
    # Whatever the trouble was, it is over.
    assert await host.get(DOCS, {0: ["a"]}) == []
    await host.close()


async def test_a_shard_cannot_be_opened_while_it_is_being_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    await host.write(DOCS, {0: write_of(["a"])})
    closed, released = threading.Event(), threading.Event()
    remove_tree = shards._remove_tree

    def held_remove_tree(directory: Path) -> None:
        closed.set()
        released.wait(10)
        remove_tree(directory)

    monkeypatch.setattr(shards, "_remove_tree", held_remove_tree)
    dropping = asyncio.create_task(host.drop(DOCS, [0]))
    await asyncio.to_thread(closed.wait, 10)
    meanwhile = asyncio.create_task(host.get(DOCS, {0: ["a"]}))
    await asyncio.wait([meanwhile], timeout=0.5)
    released.set()
    await dropping
    await asyncio.wait([meanwhile])
    meanwhile.exception()
    try:
        with pytest.raises(ShardUnavailable):
            await host.get(DOCS, {0: ["a"]})
    finally:
        await host.close()


async def test_a_drop_that_was_cut_short_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])

    def interrupted(path: Path, **_: object) -> None:
        if path.exists():
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(InternalError):
            await host.drop(DOCS, [0])
    await host.drop(DOCS, [0])
    assert list((tmp_path / "collections").iterdir()) == []


async def test_closing_while_a_shard_is_being_opened_leaves_it_to_whoever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    entered, released = threading.Event(), threading.Event()
    opened: list[ShardWriter] = []

    def held(directory: Path, settings: StorageSettings) -> ShardWriter:
        entered.set()
        released.wait(10)
        opened.append(ShardWriter(directory, settings))
        return opened[0]

    monkeypatch.setattr(shards, "ShardWriter", held)
    caller = asyncio.create_task(host.get(DOCS, {0: ["a"]}))
    await asyncio.to_thread(entered.wait, 10)
    closing = asyncio.create_task(host.close())
    await asyncio.sleep(0)
    released.set()
    await closing
    # Whether it still gets an answer is a matter of luck.
    await asyncio.wait([caller])
    caller.exception()
    left_open = [writer for writer in opened if not writer.closed]
    for writer in left_open:
        writer.close(flush=False)
    assert left_open == []


async def test_a_shard_that_cannot_be_flushed_keeps_no_other_from_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0, 1])
    await host.write(DOCS, {0: write_of(["a"]), 1: write_of(["b"])})
    writers = [await host._writer(DOCS, shard) for shard in (0, 1)]

    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writers[0], "flush", fail)
    with pytest.raises(Exception, match="No space"):
        await host.close()
    closed = [writer.closed for writer in writers]
    for writer in writers:
        if not writer.closed:
            writer.close(flush=False)
    assert closed == [True, True]


async def test_a_collection_named_twice_is_counted_once_in_each_answer(tmp_path: Path) -> None:
    engine = ShardedEngine([OpenShards(tmp_path, QUIET)])
    await engine.create(DOCS)
    await engine.write(DOCS, docs_of(["a", "b", "c"]))
    found = await engine.stats([DOCS, DOCS])
    await engine.drop(DOCS)
    await engine.close()
    assert [stats and stats.points for stats in found] == [3, 3]


# The error tree.


def test_the_tree_drawn_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"((?:  )*)([A-Z]\w+)(?:  +\S.*)?", line)
        if found and (drawn or found[2] == "VectorayError"):
            del path[len(found[1]) // 2 :]
            drawn[found[2]] = path[-1] if path else None
            path.append(found[2])
        elif drawn:
            break
    actual = {
        error.__name__: None if error is EVERY_ERROR[0] else error.__mro__[1].__name__
        for error in EVERY_ERROR
    }
    assert drawn == actual
