"""What the manifest, the log and the table each say of a shard, whichever of the others is missing."""

import shutil
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Event
from typing import Any

import lance
import pytest

from storage import files, recovery
from storage import writer as writer_module
from storage.manifest import manifest_generations, read_manifest
from storage.reader import ShardReader, open_view
from storage.rows import SegmentRows
from storage.settings import StorageSettings
from storage.shard import read_spec
from storage.view import ShardView
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_disk_failures import table_ids
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import Overloaded

OLD, NEW = b'{"n":1}', b'{"n":2}'


def published(directory: Path) -> dict[str, bytes]:
    """The payloads of the live points by the newest manifest alone, without the log."""
    manifest = read_manifest(directory, manifest_generations(directory)[0])
    view, _ = open_view(directory, read_spec(directory), manifest, verify=True)
    rows = view.live_rows()
    return dict(zip(rows.ids, rows.payloads, strict=True))


def segment_rows(writer: ShardWriter) -> list[int]:
    return [len(live.segment) for live in writer._view.head.segments]


# The manifest alone.


def test_a_merge_publishes_rows_that_ended_after_the_last_seal_as_live(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard(merge_factor=2)
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
    writer.delete(["a"]).result()
    assert writer.merge()
    assert published(tmp_path / "shard") == {"a": OLD, "b": OLD}
    writer.close(flush=False)
    assert all_ids(open_shard()) == ["b"]


def test_a_seal_of_the_oldest_writes_publishes_their_state_not_a_later_one(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "d"], clustered(2))).result()
    writer.seal()
    writer.upsert(batch_of(["b"], clustered(1))).result()
    writer.delete(["d"]).result()
    writer.delete(["a"]).result()
    writer.upsert(batch_of(["b"], clustered(1), NEW)).result()
    # Up to the end of "d".
    monkeypatch.setattr(writer, "_settings", StorageSettings(seal_rows=1))
    writer.seal()
    assert writer._owned.manifest.sealed_seq == 4
    assert published(tmp_path / "shard") == {"a": OLD, "b": OLD}
    writer.close(flush=False)
    again = open_shard()
    assert all_ids(again) == ["b"]
    point = again.get("b")
    assert point is not None
    assert point.payload == NEW


def test_segments_of_mostly_dead_rows_are_rewritten_whatever_their_size(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer._settings = writer._settings.model_copy(update={"merge_max_rows": 10})
    names = [f"p{row:02d}" for row in range(40)]
    writer.upsert(batch_of(names, clustered(40))).result()
    writer.seal()
    writer.delete(names[:25]).result()
    # By the manifest they all live: rewriting them now would gain nothing.
    assert not writer.merge()
    writer.seal()
    assert writer.merge()
    assert not writer.merge()
    assert segment_rows(writer) == [15]
    assert sorted(published(tmp_path / "shard")) == names[25:]
    assert all_ids(writer) == names[25:]

    writer.delete(names[25:]).result()
    writer.seal()
    assert writer.merge()
    assert not writer.merge()
    assert segment_rows(writer) == []
    assert not list((tmp_path / "shard" / "segments").iterdir())
    assert not list((tmp_path / "shard" / "dead").iterdir())


# The table.


@pytest.mark.parametrize("missing", [1, 2])
def test_flushed_writes_that_the_log_lost_come_back_and_keep_their_numbers(
    open_shard: OpenShard, tmp_path: Path, missing: int
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.seal()
    for name in "bc":
        writer.upsert(batch_of([name], clustered(1))).result()
    writer.flush()
    writer.close(flush=False)
    for path in sorted((tmp_path / "shard" / "log").iterdir())[-missing:]:
        path.unlink()

    again = open_shard()
    assert all_ids(again) == ["a", "b", "c"]
    again.upsert(batch_of(["d"], clustered(1))).result()
    point = again.get("d")
    assert point is not None
    assert point.seq == 4
    again.flush()
    assert table_ids(again) == ["a", "b", "c", "d"]


def test_a_table_that_is_behind_the_manifest_catches_up(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    table, older = tmp_path / "shard" / "table", tmp_path / "older"
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.flush()
    shutil.copytree(table, older)
    writer.upsert(batch_of(["b"], clustered(1))).result()
    writer.close()
    shutil.rmtree(table)
    older.rename(table)

    again = open_shard()
    again.upsert(batch_of(["c"], clustered(1))).result()
    again.flush()
    assert table_ids(again) == ["a", "b", "c"]


def test_a_table_written_from_memory_holds_no_write_beyond_the_one_it_is_complete_through(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
    next((tmp_path / "shard" / "log").glob("*1.arrow")).unlink()
    meanwhile: list[Future[Any]] = []
    live_rows = ShardView.live_rows

    def write_first(view: ShardView) -> SegmentRows:
        meanwhile.append(writer.upsert(batch_of(["c"], clustered(1))))
        # One that is not done by now waits for the flush, which is right.
        wait(meanwhile, timeout=0.05)
        return live_rows(view)

    monkeypatch.setattr(ShardView, "live_rows", write_first)
    writer.flush()
    assert writer._flusher.table.flushed_seq == writer._owned.manifest.flushed_seq == 2
    assert table_ids(writer) == ["a", "b"]
    meanwhile[0].result(10)
    writer.flush()
    assert table_ids(writer) == ["a", "b", "c"]


def test_the_table_says_that_it_is_complete_only_after_its_rows_are_durable(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync_file, update_config = files.fsync_file, lance.LanceDataset.update_config
    table = tmp_path / "shard" / "table"
    durable: set[Path] = set()
    unsafe: list[set[Path]] = []

    def note(path: Path) -> None:
        fsync_file(path)
        durable.add(path)

    def look(dataset: Any, config: Any) -> Any:
        unsafe.append({path for path in table.rglob("*") if path.is_file()} - durable)
        return update_config(dataset, config)

    monkeypatch.setattr(files, "fsync_file", note)
    monkeypatch.setattr(lance.LanceDataset, "update_config", look)
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    writer.upsert(batch_of(["a"], clustered(1), NEW)).result()
    writer.delete(["b"]).result()
    writer.flush()
    writer._flusher.table.rewrite(writer._view.live_rows(), 4)
    # That of an empty table, two flushes, and what was written anew.
    assert unsafe == [set()] * 4
    assert {path for path in table.rglob("*") if path.is_file()} == durable


def test_a_rebuild_that_was_cut_short_is_not_taken_for_an_empty_shard(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.close()
    for path in (tmp_path / "shard" / "log").iterdir():
        path.unlink()

    def end_here(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recovery, "publish_manifest", end_here)
        with pytest.raises(KeyboardInterrupt):
            open_shard()
    assert manifest_generations(tmp_path / "shard") == []
    assert all_ids(open_shard()) == ["a", "b"]


# Readers and writers meanwhile.


def test_a_reader_that_misses_a_batch_looks_for_a_manifest_the_counter_has_not_told_of(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    reader = ShardReader(tmp_path / "shard")
    assert reader.count() == 1
    monkeypatch.setattr(writer._owned.counter, "publish_generation", lambda _: None)
    for name in "bc":
        writer.upsert(batch_of([name], clustered(1))).result()
    writer.seal()
    writer.flush()
    assert reader.count() == 3
    reader.close()


def test_writers_wait_for_a_seal_while_the_tail_is_too_long(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard(seal_rows=2)
    seal, room_wait, waiting, may_seal = writer.seal, writer._has_room.wait, Event(), Event()

    def held_seal() -> None:
        may_seal.wait(10)
        seal()

    def note(timeout_s: float) -> bool:
        waiting.set()
        return room_wait(timeout_s)

    monkeypatch.setattr(writer, "seal", held_seal)
    monkeypatch.setattr(writer._has_room, "wait", note)
    writer.upsert(batch_of([str(row) for row in range(16)], clustered(16))).result()
    late = writer.upsert(batch_of(["late"], clustered(1)))
    try:
        assert waiting.wait(5)
        assert not late.done()
    finally:
        may_seal.set()
    late.result(10)
    assert writer.get("late") is not None


def test_a_write_that_finds_no_room_in_time_is_refused_as_overload(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard(seal_rows=2)
    seal, may_seal, sealed = writer.seal, Event(), Event()

    def held_seal() -> None:
        may_seal.wait(10)
        seal()
        sealed.set()

    monkeypatch.setattr(writer, "seal", held_seal)
    monkeypatch.setattr(writer_module, "_ROOM_WITHIN_S", -1.0)
    writer.upsert(batch_of([str(row) for row in range(16)], clustered(16))).result()
    try:
        with pytest.raises(Overloaded):
            writer.upsert(batch_of(["late"], clustered(1))).result(10)
        assert writer.get("late") is None
    finally:
        may_seal.set()
    assert sealed.wait(10)
    writer.upsert(batch_of(["late"], clustered(1))).result(10)
    assert writer.get("late") is not None
