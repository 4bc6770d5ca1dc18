"""A disk that is full, fails or loses a file costs the step at hand, never what was acknowledged."""

import errno
import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from storage import files, owned_shard
from storage import writer as writer_module
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_recovery import all_ids
from tests.unit.storage.test_segment import built, opened_again, rows_of
from vectoray.core.errors import CorruptData, StorageFull


def full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def table_ids(writer: ShardWriter) -> list[str]:
    return sorted(writer._flusher.table.read_all().ids)


# The manifest cannot be written.


def test_a_full_disk_gets_no_fuller_however_often_a_seal_is_tried(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.seal()
    writer.delete(["a"]).result()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    folders = [tmp_path / "shard" / name for name in ("segments", "dead", "log")]
    before = [names_in(folder) for folder in folders]
    with monkeypatch.context() as patched:
        patched.setattr(owned_shard, "publish_manifest", full)
        for _ in range(3):
            with pytest.raises(StorageFull):
                writer.seal()
            assert [names_in(folder) for folder in folders] == before

    # Nothing of that is an error once there is room again.
    writer.seal()
    writer.close(flush=False)
    assert all_ids(open_shard()) == ["b", "c"]


@pytest.mark.parametrize("last_step", ["seal", "flush"])
def test_the_log_is_kept_until_the_manifest_that_needs_it_no_more_is_published(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: str
) -> None:
    writer = open_shard()
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
    (writer.flush if last_step == "seal" else writer.seal)()
    log = tmp_path / "shard" / "log"
    before = names_in(log)
    with monkeypatch.context() as patched:
        patched.setattr(owned_shard, "publish_manifest", full)
        with pytest.raises(StorageFull):
            getattr(writer, last_step)()
    assert names_in(log) == before
    getattr(writer, last_step)()
    assert names_in(log) == before[-1:]


# The table.


@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_a_table_is_written_from_memory_when_the_log_is_damaged_after_its_writes_were_applied(
    open_shard: OpenShard, tmp_path: Path, damage: str
) -> None:
    writer = open_shard()
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
    writer.delete(["a"]).result()
    victim = sorted((tmp_path / "shard" / "log").iterdir())[1]
    if damage == "missing":
        victim.unlink()
    else:
        data = bytearray(victim.read_bytes())
        data[100] ^= 1
        victim.write_bytes(data)

    writer.flush()

    assert table_ids(writer) == ["b", "c"]
    writer.upsert(batch_of(["d"], clustered(1))).result()
    writer.close()
    assert all_ids(open_shard()) == ["b", "c", "d"]


def test_files_whose_fsync_failed_are_written_anew_not_synced_again(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.flush()
    writer.upsert(batch_of(["b"], clustered(1))).result()
    with monkeypatch.context() as patched:
        patched.setattr(files, "fsync_file", full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            writer.flush()
    doubtful = {path.name for path in (tmp_path / "shard" / "table").rglob("*.lance") if path.is_file()}
    assert doubtful

    writer.flush()

    fragments = writer._flusher.table._dataset.get_fragments()
    assert not doubtful & {Path(file.path).name for part in fragments for file in part.data_files()}
    assert table_ids(writer) == ["a", "b"]


# The graph of a segment.


def refuse(*_: object) -> None:
    raise RuntimeError("Can't write")


def cut_short(_: object, path: str) -> None:
    Path(path).write_bytes(b"half of a graph")


@pytest.mark.parametrize("save", [refuse, cut_short])
def test_a_graph_that_could_not_be_saved_is_an_error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Any
) -> None:
    monkeypatch.setattr("storage.graph.Index.save", save)
    rows = rows_of([str(row) for row in range(1024)], clustered(1024))
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number says which)
        built(tmp_path / "s", rows)
    assert caught.value.errno == {refuse: errno.EIO, cut_short: errno.ENOSPC}[save]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_graph_is_damaged_data_though_no_checksum_is_compared(tmp_path: Path) -> None:
    built(tmp_path / "s", rows_of([str(row) for row in range(1024)], clustered(1024)))
    graph = tmp_path / "s" / "graph.usearch"
    data = graph.read_bytes()
    for damaged in (None, b"", b"x" * 100, data[:100], b"x" * len(data)):
        graph.unlink(missing_ok=True)
        if damaged is not None:
            graph.write_bytes(damaged)
        with pytest.raises(CorruptData):
            opened_again(tmp_path / "s", verify=False)


# The maintenance thread.


class PanicError(BaseException):
    """As the libraries in Rust raise it: no Exception."""


def test_maintenance_goes_on_after_a_panic(open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.0)
    writer = open_shard(seal_rows=4)
    seal, panicked, sealed = writer.seal, Event(), Event()

    def panic_once() -> None:
        if not panicked.is_set():
            panicked.set()
            raise PanicError
        seal()
        sealed.set()

    monkeypatch.setattr(writer, "seal", panic_once)
    writer.upsert(batch_of(list("abcd"), clustered(4))).result()
    assert panicked.wait(10)
    writer.upsert(batch_of(["e"], clustered(1))).result()
    assert sealed.wait(5)


def test_a_failed_step_is_not_tried_again_before_a_pause(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard(seal_rows=4)
    attempts: list[str] = []
    paused, resume, again = Event(), Event(), Event()

    def fail() -> None:
        attempts.append("seal")
        if paused.is_set():
            again.set()
        full()

    def pause(timeout_s: float) -> bool:
        paused.set()
        return resume.wait(10)

    monkeypatch.setattr(writer, "seal", fail)
    monkeypatch.setattr(writer._closing, "wait", pause)
    writer.upsert(batch_of(list("abcd"), clustered(4))).result()
    assert paused.wait(5)
    writer.upsert(batch_of(["e"], clustered(1))).result()
    assert attempts == ["seal"]
    resume.set()
    assert again.wait(5)
