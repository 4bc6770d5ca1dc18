"""An owner whose view is behind the disk does nothing more; the next one starts from what is there."""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from cluster.shards import OpenShards
from storage import files
from storage import writer as writer_module
from storage.view import ShardView
from storage.writer import ShardWriter
from tests.unit.cluster.conftest import QUIET, collection_of, write_of
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import InternalError, Unavailable

DOCS = collection_of(1)


def out_of_memory(*_: object) -> Any:
    raise MemoryError


def disk_error_in(folder: Path, *, times: int) -> Callable[[Path], None]:
    """An `fsync_dir` that fails for one folder, the first few times."""
    fsync_dir = files.fsync_dir
    left = [times]

    def fail(path: Path) -> None:
        if path == folder and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        fsync_dir(path)

    return fail


def assert_does_nothing_more(writer: ShardWriter) -> None:
    for step in (writer.seal, writer.merge, writer.flush):
        with pytest.raises(Unavailable):
            step()


# The view did not follow a manifest.


@pytest.mark.parametrize("step", ["seal", "merge"])
def test_what_the_view_did_not_follow_is_not_done_twice(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    writer = open_shard(merge_factor=2)
    for name in ("first", "second"):
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
    writer.upsert(batch_of(["third"], clustered(1))).result()
    with monkeypatch.context() as patched:
        patched.setattr(ShardView, {"seal": "replace_tail", "merge": "replace_segments"}[step], out_of_memory)
        with pytest.raises(MemoryError):
            getattr(writer, step)()

    assert writer.broken
    assert_does_nothing_more(writer)
    writer.close()
    assert all_ids(open_shard()) == ["first", "second", "third"]


def test_the_maintenance_of_a_broken_owner_ends_by_itself(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.0)
    monkeypatch.setattr(ShardView, "replace_tail", out_of_memory)
    writer = open_shard(seal_rows=4)
    writer.upsert(batch_of(list("abcd"), clustered(4))).result()
    writer._maintenance.join(5)
    assert not writer._maintenance.is_alive()


# A durable group is not wholly visible.


def fail_half_way(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let the next group stop once its rows are in the tail but the older ones have not ended, once.

    Tells when it is there and waits for a word.
    """
    end_older = ShardView._end_older
    reached, go_on = threading.Event(), threading.Event()

    def fail(view: ShardView, *group: Any) -> None:
        if not reached.is_set():
            reached.set()
            go_on.wait(10)
            raise MemoryError
        end_older(view, *group)

    monkeypatch.setattr(ShardView, "_end_older", fail)
    return reached, go_on


def test_writes_queued_behind_a_half_visible_group_are_refused(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["x"], clustered(1))).result()
    reached, go_on = fail_half_way(monkeypatch)
    failed = writer.upsert(batch_of(["x", "z"], clustered(2), b'{"n":2}'))
    assert reached.wait(10)
    queued: list[Future[Any]] = [writer.delete(["x"]), writer.upsert(batch_of(["a"], clustered(1)))]
    go_on.set()

    assert isinstance(failed.exception(10), MemoryError)
    assert [type(write.exception(10)) for write in queued] == [Unavailable, Unavailable]
    writer.close()

    # What was durable, and nothing of what was refused.
    again = open_shard()
    assert all_ids(again) == ["x", "z"]
    point = again.get("x")
    assert point is not None
    assert point.payload == b'{"n":2}'


def test_a_broken_owner_refuses_writes_and_maintenance(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    with monkeypatch.context() as patched:
        patched.setattr(ShardView, "apply", out_of_memory)
        with pytest.raises(MemoryError):
            writer.upsert(batch_of(["a"], clustered(1))).result()
    assert writer.broken
    with pytest.raises(Unavailable):
        writer.upsert(batch_of(["b"], clustered(1)))
    with pytest.raises(Unavailable):
        writer.delete(["a"])
    assert_does_nothing_more(writer)


# A file could not be taken back.


def test_a_write_that_cannot_be_taken_back_makes_the_owner_broken(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    monkeypatch.setattr(files, "fsync_dir", disk_error_in(tmp_path / "shard" / "log", times=2))
    with pytest.raises(InternalError):
        writer.upsert(batch_of(["a"], clustered(1))).result()
    assert writer.broken
    with pytest.raises(Unavailable):
        writer.upsert(batch_of(["a"], clustered(1)))


def test_a_write_that_was_taken_back_leaves_the_owner_as_it_was(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    monkeypatch.setattr(files, "fsync_dir", disk_error_in(tmp_path / "shard" / "log", times=1))
    with pytest.raises(InternalError):
        writer.upsert(batch_of(["refused"], clustered(1))).result()
    assert not writer.broken
    assert not list((tmp_path / "shard" / "log").iterdir())
    writer.upsert(batch_of(["accepted"], clustered(1))).result()
    writer.close(flush=False)
    assert all_ids(open_shard()) == ["accepted"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_manifest_makes_the_owner_broken_only_when_it_cannot_be_taken_back(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    monkeypatch.setattr(files, "fsync_dir", disk_error_in(tmp_path / "shard", times=times))
    with pytest.raises(InternalError):
        writer.seal()
    assert writer.broken == (times == 2)
    if writer.broken:
        assert_does_nothing_more(writer)
    else:
        writer.seal()
    writer.close(flush=False)
    assert all_ids(open_shard()) == ["a", "b"]


# Whoever comes next.


def test_a_closed_owner_cannot_touch_what_the_next_one_owns(open_shard: OpenShard) -> None:
    closed = open_shard()
    closed.upsert(batch_of(["a"], clustered(1))).result()
    closed.close(flush=False)
    owner = open_shard()
    owner.upsert(batch_of(["b"], clustered(1))).result()
    owner.seal()

    assert_does_nothing_more(closed)

    owner.close(flush=False)
    assert all_ids(open_shard()) == ["a", "b"]


async def test_the_host_opens_a_broken_shard_anew_for_the_next_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    try:
        await host.write(DOCS, {0: write_of(["a"])})
        with monkeypatch.context() as patched:
            patched.setattr(ShardView, "apply", out_of_memory)
            with pytest.raises(MemoryError):
                await host.write(DOCS, {0: write_of(["b"])})
        # Durable before it failed, and visible to whoever reads the log.
        assert [point.id for point in await host.get(DOCS, {0: ["a", "b"]})] == ["a", "b"]
        await host.write(DOCS, {0: write_of(["c"])})
        assert len(await host.get(DOCS, {0: ["a", "b", "c"]})) == 3
    finally:
        await host.close()
