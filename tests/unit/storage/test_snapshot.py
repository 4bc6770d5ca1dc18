"""A snapshot is all shards as of one moment, whole or not there; a restored one holds exactly that."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pyarrow as pa
import pytest

from storage import files
from storage.bulk import write_fragment
from storage.records import hash_id
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard, shard_exists
from storage.snapshot import read_snapshot, restore, snapshot, verify_snapshot
from storage.snapshot_store import _bucket_errors
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, batch_of, clustered, let_others_run
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import (
    Conflict,
    CorruptData,
    InternalError,
    InvalidRequest,
    SnapshotNotFound,
    StorageFull,
    Unavailable,
    VectorayError,
)
from vectoray.core.model import IndexOptions, Metric

ABOUT = {"name": "news", "dimension": DIMENSION, "nested": {"metric": "cosine", "tags": ["a", None]}}
SPEC = ShardSpec(DIMENSION, Metric.COSINE, IndexOptions())

OpenAt = Callable[..., ShardWriter]
Contents = dict[str, tuple[bytes, str | None, int, int, bytes]]


def open_in(directory: Path, **given: int) -> ShardWriter:
    """Open a shard that seals and flushes nothing unless told so."""
    limits = {"seal_rows": 1_000_000, "flush_rows": 1_000_000, "flush_interval_s": 86_400, **given}
    return ShardWriter(directory, StorageSettings.model_validate(limits))


@pytest.fixture
def open_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAt]:
    """Opens a shard anywhere, making it first unless told otherwise; closes all at the end.

    Nothing is sealed, merged or flushed unless the test says so.
    """
    opened: list[ShardWriter] = []
    monkeypatch.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)

    def open_one(directory: Path, *, make: bool = True, **given: int) -> ShardWriter:
        if make:
            create_shard(directory, SPEC)
        opened.append(open_in(directory, **given))
        return opened[-1]

    yield open_one
    for writer in opened:
        if not writer.closed:
            writer.close(flush=False)


def contents(writer: ShardWriter) -> Contents:
    points = [point for point_id in all_ids(writer) if (point := writer.get(point_id))]
    return {
        point.id: (point.payload, point.text, point.seq, point.updated_ms, point.vector.tobytes())
        for point in points
    }


def lived_in(writer: ShardWriter, *, seed: int) -> None:
    """Two segments, one with a graph; dead rows, a table that is behind, and a log."""
    writer.upsert(batch_of([f"a{row}" for row in range(1100)], clustered(1100, seed=seed))).result()
    writer.seal()
    while writer.merge():
        pass
    writer.upsert(batch_of([f"b{row}" for row in range(20)], clustered(20, seed=seed + 1))).result()
    writer.delete(["a0", "a1"]).result()
    writer.flush()
    writer.seal()
    writer.upsert(batch_of(["a2", "c"], clustered(2, seed=seed + 2), payload=b'{"late":true}')).result()
    writer.delete(["b0"]).result()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, two that have lived and one that is empty, and a snapshot of them; to be copied."""
    folder = tmp_path_factory.mktemp("originals")
    directories = [folder / "data" / f"shard-{number}" for number in range(3)]
    for directory in directories:
        create_shard(directory, SPEC)
    opened = [open_in(directory) for directory in directories]
    lived_in(opened[0], seed=0)
    lived_in(opened[1], seed=10)
    snapshot(opened, folder / "snapshot", collection=ABOUT)
    for writer in opened:
        writer.close(flush=False)
    return folder


@pytest.fixture
def writers(originals: Path, tmp_path: Path, open_at: OpenAt) -> list[ShardWriter]:
    """The three shards."""
    shutil.copytree(originals / "data", tmp_path / "data")
    return [open_at(tmp_path / "data" / f"shard-{number}") for number in range(3)]


@pytest.fixture
def made(originals: Path, tmp_path: Path) -> Path:
    """The snapshot."""
    shutil.copytree(originals / "snapshot", tmp_path / "backups" / "monday")
    return tmp_path / "backups" / "monday"


def targets(tmp_path: Path, count: int = 3) -> list[Path]:
    return [tmp_path / "restored" / f"shard-{number}" for number in range(count)]


def nothing_restored(tmp_path: Path) -> bool:
    folder = tmp_path / "restored"
    return not folder.exists() or not list(folder.iterdir())


def leftovers(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob(files.TEMPORARY_PREFIX + "*"))


# A round trip.


def test_restored_shards_hold_exactly_the_points_of_the_snapshot(
    tmp_path: Path, writers: list[ShardWriter], open_at: OpenAt
) -> None:
    then = [(writer.stats(), contents(writer)) for writer in writers]
    written = snapshot(writers, tmp_path / "s", collection=ABOUT)
    for writer in writers:
        writer.upsert(batch_of(["later", "a5"], clustered(2, seed=9))).result()
        writer.delete(["a7", "c"]).result()

    restored = restore(tmp_path / "s", targets(tmp_path))

    assert written == restored == read_snapshot(tmp_path / "s") == verify_snapshot(str(tmp_path / "s"))
    assert (written.collection, written.points) == (ABOUT, 2 * 1118)
    assert [part.points for part in written.shards] == [1118, 1118, 0]
    assert written.size_bytes == sum(
        path.stat().st_size for path in (tmp_path / "s").rglob("shard-*/**/*") if path.is_file()
    )
    opened = [open_at(path, make=False) for path in targets(tmp_path)]
    assert [(writer.stats(), contents(writer)) for writer in opened] == then
    assert leftovers(tmp_path) == []


def test_a_restored_shard_goes_on_from_where_the_snapshot_was(
    tmp_path: Path, made: Path, open_at: OpenAt
) -> None:
    restore(made, targets(tmp_path))
    writer = open_at(targets(tmp_path)[0], make=False, merge_factor=2)
    last = read_snapshot(made).shards[0].seq
    writer.upsert(batch_of(["new"], clustered(1))).result()
    point = writer.get("new")
    assert point is not None
    assert point.seq == last + 1
    writer.seal()
    while writer.merge():
        pass
    writer.flush()
    ids = all_ids(writer)
    assert sorted(writer._flusher.table.read_all().ids) == ids
    writer.close()
    assert all_ids(open_at(targets(tmp_path)[0], make=False)) == ids


def test_a_restored_table_shows_exactly_the_live_points_before_and_after_a_flush(
    tmp_path: Path, writers: list[ShardWriter], made: Path, open_at: OpenAt
) -> None:
    restore(made, targets(tmp_path))
    for source, target in zip(writers, targets(tmp_path), strict=True):
        writer = open_at(target, make=False)
        assert (
            writer._flusher.table.flushed_seq == writer._owned.manifest.flushed_seq == writer._view.head.seq
        )
        writer.flush()
        rows = writer._flusher.table.read_all()
        assert sorted(rows.ids) == all_ids(source)
        assert dict(zip(rows.ids, rows.payloads, strict=True)) == {
            point_id: stored[0] for point_id, stored in contents(source).items()
        }


@pytest.mark.parametrize(
    "victim", ["segments/*/rows.arrow", "segments/*/segment.json", "dead/*", "manifest-*"]
)
def test_what_is_damaged_in_a_restored_shard_before_its_first_flush_is_rebuilt(
    tmp_path: Path, writers: list[ShardWriter], made: Path, open_at: OpenAt, victim: str
) -> None:
    restore(made, targets(tmp_path))
    damage(max(targets(tmp_path)[0].glob(victim)))
    writer = open_at(targets(tmp_path)[0], make=False)
    assert (targets(tmp_path)[0] / "quarantine").exists()
    assert contents(writer) == contents(writers[0])


def test_a_restored_shard_that_lost_its_table_too_refuses_to_open_rather_than_be_short(
    tmp_path: Path, made: Path, open_at: OpenAt
) -> None:
    restore(made, targets(tmp_path))
    shutil.rmtree(targets(tmp_path)[0] / "table")
    damage(max(targets(tmp_path)[0].glob("segments/*/rows.arrow")))
    with pytest.raises(CorruptData):
        open_at(targets(tmp_path)[0], make=False)


@pytest.mark.parametrize("logged", [True, False])
def test_rows_of_a_bulk_load_are_in_and_are_not_loaded_twice_into_the_restored_shard(
    tmp_path: Path, open_at: OpenAt, *, logged: bool
) -> None:
    writer = open_at(tmp_path / "source")
    if logged:
        writer.upsert(batch_of(["before", "b3"], clustered(2))).result()
    batch = batch_of([f"b{row}" for row in range(30)], clustered(30, seed=1), b'{"bulk":1}')
    writer.commit_fragments("job", "0", [write_fragment(writer.directory, "job", "0", batch)])
    if logged:
        writer.delete(["b4"]).result()
    then = contents(writer)

    snapshot([writer], tmp_path / "s", collection={})
    restore(tmp_path / "s", [tmp_path / "restored"])

    restored = open_at(tmp_path / "restored", make=False)
    assert restored._owned.manifest.adopted == ()
    again = write_fragment(restored.directory, "job", "0", batch)
    assert not restored.commit_fragments("job", "0", [again])
    assert contents(restored) == then
    assert sorted(restored._flusher.table.read_all().ids) == sorted(then)
    restored.upsert(batch_of(["after"], clustered(1))).result()
    restored.flush()
    assert sorted(restored._flusher.table.read_all().ids) == sorted([*then, "after"])
    damage(max(restored.directory.glob("segments/*/rows.arrow")))
    restored.close(flush=False)
    assert sorted(contents(open_at(tmp_path / "restored", make=False))) == sorted([*then, "after"])


def test_file_uris_and_folders_that_are_there_but_empty_are_as_good_as_paths(
    tmp_path: Path, writers: list[ShardWriter]
) -> None:
    (tmp_path / "with space").mkdir()
    uri = (tmp_path / "with space").as_uri()
    assert "%20" in uri
    written = snapshot(writers, uri, collection=ABOUT)
    assert written == read_snapshot(tmp_path / "with space")
    for target in targets(tmp_path):
        target.mkdir(parents=True)
    assert restore(uri, targets(tmp_path)) == written


def test_a_snapshot_is_readable_by_its_owner_alone(originals: Path) -> None:
    made = originals / "snapshot"
    assert made.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.rglob("*") if path.is_file())


def test_every_file_and_folder_is_synced_before_it_gets_its_name(
    tmp_path: Path, writers: list[ShardWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    rename = Path.rename

    def note(path: Path) -> None:
        synced.add(path.stat().st_ino)

    def look_then_rename(path: Path, target: Path) -> Path:
        if path.is_dir():
            assert {found.stat().st_ino for found in (path, *path.rglob("*"))} <= synced
            named.append(target)
        return rename(path, target)

    named: list[Path] = []
    monkeypatch.setattr(files, "fsync_file", note)
    monkeypatch.setattr(files, "fsync_dir", note)
    monkeypatch.setattr(Path, "rename", look_then_rename)
    snapshot(writers, tmp_path / "s", collection={})
    restore(tmp_path / "s", targets(tmp_path))
    assert named == [tmp_path / "s", *targets(tmp_path)]
    assert {path.parent.stat().st_ino for path in named} <= synced


# While clients write: a ledger each, whose every step is at another shard.


SHARDS, CLIENTS, KEYS = 3, 3, 7


def key(client: int, step: int) -> str:
    return f"client{client}-key{step % KEYS}"


def ledger(client: int, steps: int) -> dict[str, int]:
    """What the client's points are after some steps."""
    points: dict[str, int] = {}
    for step in range(steps):
        if step % 5 == 4:
            points.pop(key(client, step), None)
        else:
            points[key(client, step)] = step
    return points


class Clients:
    """Threads that each write one point after the other, the next when the last is acknowledged."""

    def __init__(self, writers: Sequence[ShardWriter]) -> None:
        self._writers = writers
        self._stop = Event()
        self.begun = [0] * CLIENTS
        self.acknowledged = [0] * CLIENTS
        self.errors: list[BaseException] = []
        self._threads = [Thread(target=self._write, args=(client,)) for client in range(CLIENTS)]
        self._threads.append(Thread(target=self._maintain))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def let_them_write(self, more: int, within_s: float = 10) -> bool:
        goals = [done + more for done in self.acknowledged]
        progress = Event()
        for _ in range(int(within_s / 0.002)):
            if all(done >= goal for done, goal in zip(self.acknowledged, goals, strict=True)):
                return True
            progress.wait(0.002)
        return False

    def _write(self, client: int) -> None:
        step = 0
        try:
            while not self._stop.is_set():
                name = key(client, step)
                writer = self._writers[hash_id(name) % SHARDS]
                self.begun[client] = step + 1
                if step % 5 == 4:
                    writer.delete([name]).result(20)
                else:
                    payload = json.dumps({"step": step}).encode()
                    writer.upsert(batch_of([name], clustered(1, seed=step), payload)).result(20)
                step += 1
                self.acknowledged[client] = step
        except BaseException as error:  # noqa: BLE001  (the test shows it)
            self.errors.append(error)

    def _maintain(self) -> None:
        try:
            for turn in count():
                for writer in self._writers:
                    if self._stop.is_set():
                        return
                    writer.seal()
                    writer.merge()
                    if turn % 4 == 0:
                        writer.flush()
                    let_others_run()
        except BaseException as error:  # noqa: BLE001  (the test shows it)
            self.errors.append(error)


def check_ledgers(opened: Sequence[ShardWriter], at_least: Sequence[int], at_most: Sequence[int]) -> None:
    stored = [point for writer in opened for name in all_ids(writer) if (point := writer.get(name))]
    for client in range(CLIENTS):
        mine = {
            point.id: json.loads(point.payload)["step"]
            for point in stored
            if point.id.startswith(f"client{client}-")
        }
        prefixes = [ledger(client, steps) for steps in range(at_least[client], at_most[client] + 1)]
        assert mine in prefixes, f"client {client}: {mine}"


def test_snapshots_while_clients_write_hold_a_prefix_of_each_client_and_all_that_was_acknowledged(
    tmp_path: Path, open_at: OpenAt
) -> None:
    writers = [open_at(tmp_path / f"s{number}", seal_rows=8, merge_factor=2) for number in range(SHARDS)]
    bounds = []
    with Clients(writers) as clients:
        for round_ in range(4):
            assert clients.let_them_write(5)
            at_least = list(clients.acknowledged)
            snapshot(writers, tmp_path / f"round{round_}", collection={})
            bounds.append((at_least, list(clients.begun)))
    assert clients.errors == []
    for round_, (at_least, at_most) in enumerate(bounds):
        folders = [tmp_path / f"restored{round_}" / str(number) for number in range(SHARDS)]
        restore(tmp_path / f"round{round_}", folders)
        opened = [open_at(folder, make=False) for folder in folders]
        check_ledgers(opened, at_least, at_most)
        for writer in opened:
            writer.close(flush=False)


def test_no_shard_goes_on_before_all_shards_are_linked(
    tmp_path: Path, open_at: OpenAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = [open_at(tmp_path / f"s{number}") for number in range(SHARDS)]
    link, progress = os.link, []
    with Clients(writers) as clients:
        assert clients.let_them_write(10)

        def slowly(source: Path, target: Path) -> None:
            link(source, target)
            if source.name == "shard.json":
                progress.append(clients.let_them_write(2, within_s=0.2))

        monkeypatch.setattr(os, "link", slowly)
        at_least = list(clients.acknowledged)
        snapshot(writers, tmp_path / "s", collection={})
        at_most = list(clients.begun)
        assert clients.let_them_write(2)
    assert clients.errors == []
    assert progress == [False] * SHARDS
    folders = [tmp_path / "restored" / str(number) for number in range(SHARDS)]
    restore(tmp_path / "s", folders)
    check_ledgers([open_at(folder, make=False) for folder in folders], at_least, at_most)


# What fails, or dies, half-way.


class KilledError(BaseException):
    """As if the process had ended here."""


def fail_at(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, error: BaseException
) -> None:
    """Let the call with that number, from 0, raise."""
    original, calls = getattr(owner, name), count()

    def counted(*given: Any) -> Any:
        if next(calls) == number:
            raise error
        return original(*given)

    monkeypatch.setattr(owner, name, counted)


def without_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)


def files_in(writers: Sequence[ShardWriter], tmp_path: Path) -> int:
    """How many files a snapshot of them writes, its description included."""
    written = snapshot(writers, tmp_path / "counted", collection={})
    return sum(len(part.files) for part in written.shards) + 1


def test_a_snapshot_that_is_killed_at_any_file_is_none_and_can_be_made_again(
    tmp_path: Path, writers: list[ShardWriter], open_at: OpenAt
) -> None:
    for number in range(files_in(writers, tmp_path)):
        with pytest.MonkeyPatch.context() as patched:
            without_clean_up(patched)
            fail_at(patched, files, "write_blocks", number, KilledError())
            with pytest.raises(KilledError):
                snapshot(writers, tmp_path / "s", collection={})
        with pytest.raises(SnapshotNotFound):
            read_snapshot(tmp_path / "s")
    # What the dead left in the shards' folders goes when the next owner opens them.
    assert list(writers[0].directory.glob(files.TEMPORARY_PREFIX + "*"))
    ids = all_ids(writers[0])
    writers[0].close(flush=False)
    writers[0] = open_at(writers[0].directory)
    assert not list(writers[0].directory.glob(files.TEMPORARY_PREFIX + "*"))
    assert all_ids(writers[0]) == ids
    snapshot(writers, tmp_path / "s", collection={})


def test_a_restore_that_is_killed_at_any_file_leaves_nothing_that_opens_and_can_be_made_again(
    tmp_path: Path, made: Path
) -> None:
    for number in range(sum(len(part.files) for part in read_snapshot(made).shards)):
        with pytest.MonkeyPatch.context() as patched:
            without_clean_up(patched)
            fail_at(patched, files, "write_blocks", number, KilledError())
            with pytest.raises(KilledError):
                restore(made, targets(tmp_path))
        assert not any(path.exists() for path in targets(tmp_path))
    restore(made, targets(tmp_path))
    assert all(shard_exists(path) for path in targets(tmp_path))


@pytest.mark.parametrize("step", ["write_blocks", "fsync_file", "fsync_dir", "publish_new_dir"])
def test_a_full_disk_costs_the_snapshot_and_leaves_nothing_of_it(
    tmp_path: Path, writers: list[ShardWriter], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        number = {"write_blocks": 8, "fsync_file": 5}.get(step, 0)
        fail_at(patched, files, step, number, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(StorageFull) as caught:
            snapshot(writers, tmp_path / "s", collection={})
    assert str(tmp_path) not in caught.value.message
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "s").exists()
    writers[0].upsert(batch_of(["more"], clustered(1))).result()
    snapshot(writers, tmp_path / "s", collection={})


@pytest.mark.parametrize("step", ["write_blocks", "fsync_file", "fsync_dir", "publish_new_dir"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_full_disk_costs_the_restore_and_leaves_nothing_of_it(
    tmp_path: Path, made: Path, step: str, number: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        fail_at(patched, files, step, number, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(StorageFull):
            restore(made, targets(tmp_path))
    assert nothing_restored(tmp_path)
    restore(made, targets(tmp_path))


def test_a_failing_link_costs_the_snapshot_and_leaves_the_shards_working(
    tmp_path: Path, writers: list[ShardWriter]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        fail_at(patched, os, "link", 9, OSError(errno.EMLINK, os.strerror(errno.EMLINK)))
        with pytest.raises(InternalError):
            snapshot(writers, tmp_path / "s", collection={})
    assert leftovers(tmp_path) == []
    for writer in writers:
        writer.upsert(batch_of(["more"], clustered(1))).result(10)
        writer.seal()


def test_a_shard_that_is_closed_has_no_snapshot(tmp_path: Path, writers: list[ShardWriter]) -> None:
    writers[1].close()
    with pytest.raises(Unavailable):
        snapshot(writers, tmp_path / "s", collection={})
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "s").exists()
    writers[0].upsert(batch_of(["more"], clustered(1))).result(10)


def test_damage_in_a_shard_is_found_when_it_is_copied_not_when_it_is_needed(
    tmp_path: Path, writers: list[ShardWriter]
) -> None:
    damage(max(writers[1].directory.glob("segments/*/rows.arrow")))
    with pytest.raises(CorruptData):
        snapshot(writers, tmp_path / "s", collection={})
    assert not (tmp_path / "s").exists()
    assert leftovers(tmp_path) == []


# Snapshots that are not what was written.


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    # A new file: others may have linked the old one.
    path.unlink()
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def add_another(path: Path) -> None:
    path.with_name("another").write_bytes(b"")


@pytest.mark.parametrize("spoil", [damage, cut_short, Path.unlink, add_another])
@pytest.mark.parametrize(
    "victim",
    ["shard.json", "manifest-*", "segments/*/rows.arrow", "segments/*/graph.usearch", "dead/*", "log/*"],
)
def test_a_snapshot_with_a_file_that_is_not_as_it_was_is_refused(
    tmp_path: Path, made: Path, spoil: Callable[[Path], None], victim: str
) -> None:
    spoil(next((made / "shard-0001").glob(victim)))
    with pytest.raises(CorruptData):
        verify_snapshot(made)
    with pytest.raises(CorruptData):
        restore(made, targets(tmp_path))
    assert nothing_restored(tmp_path)


@pytest.mark.parametrize("spoil", [damage, cut_short])
def test_a_description_that_is_not_as_it_was_is_refused(
    tmp_path: Path, made: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(made / "snapshot.json")
    for read in (read_snapshot, verify_snapshot, lambda place: restore(place, targets(tmp_path))):
        with pytest.raises(CorruptData):
            read(made)


def test_without_its_description_it_is_no_snapshot(tmp_path: Path, made: Path) -> None:
    (made / "snapshot.json").unlink()
    for place in (made, tmp_path / "nowhere", made / "shard-0000" / "shard.json"):
        for read in (read_snapshot, verify_snapshot, lambda place: restore(place, targets(tmp_path))):
            with pytest.raises(SnapshotNotFound):
                read(place)


def described(made: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write another description, with the right checksum."""
    value: dict[str, Any] = files.read_json(made / "snapshot.json")
    change(value)
    files.write_json_durable(made / "snapshot.json", value)


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "a/../../outside", "a//b", ".hidden", "", 7])
def test_a_description_cannot_name_files_outside_of_the_shard(
    tmp_path: Path, made: Path, path: object
) -> None:
    described(made, lambda value: value["shards"][0]["files"][0].update(path=path))
    with pytest.raises(CorruptData, match=r"names a file|lacks a field"):
        restore(made, targets(tmp_path))
    assert nothing_restored(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(format=2),
        lambda value: value.pop("format"),
        lambda value: value.pop("shards"),
        lambda value: value["shards"][0].pop("seq"),
        lambda value: value["shards"][0]["files"][0].update(more=1),
        lambda value: value.update(collection=7),
    ],
)
def test_a_description_of_another_form_is_refused(
    made: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    described(made, change)
    with pytest.raises(CorruptData):
        read_snapshot(made)


@pytest.mark.parametrize("field", ["seq", "points"])
def test_shards_that_do_not_hold_what_the_description_says_are_refused(
    tmp_path: Path, made: Path, field: str
) -> None:
    described(made, lambda value: value["shards"][0].update({field: value["shards"][0][field] + 1}))
    with pytest.raises(CorruptData):
        restore(made, targets(tmp_path))
    assert nothing_restored(tmp_path)


def test_a_shard_without_its_own_description_is_refused(tmp_path: Path, made: Path) -> None:
    (made / "shard-0000" / "shard.json").unlink()

    def forget(value: dict[str, Any]) -> None:
        kept = [file for file in value["shards"][0]["files"] if file["path"] != "shard.json"]
        value["shards"][0]["files"] = kept

    described(made, forget)
    with pytest.raises(CorruptData):
        restore(made, targets(tmp_path))
    assert nothing_restored(tmp_path)


# Places that are taken.


def never(*_: object) -> None:
    pytest.fail("It should have been refused before the first file was copied.")


def test_nothing_is_overwritten_by_a_snapshot(
    tmp_path: Path, writers: list[ShardWriter], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_snapshot(made)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    (tmp_path / "plain").write_text("mine")
    monkeypatch.setattr(files, "write_blocks", never)
    for place in (made, tmp_path / "other", tmp_path / "plain"):
        with pytest.raises(Conflict):
            snapshot(writers, place, collection={})
    with pytest.raises(InvalidRequest):
        snapshot(writers, tmp_path / "plain" / "below", collection={})
    assert verify_snapshot(made) == before
    assert (tmp_path / "other" / "file").read_text() == (tmp_path / "plain").read_text() == "mine"
    assert leftovers(tmp_path) == []


def test_of_two_snapshots_to_one_place_at_once_one_is_made(
    tmp_path: Path, writers: list[ShardWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, first, second = files.publish_new_dir, Event(), Event()

    def meet(temporary: Path, final: Path) -> None:
        # Whoever comes first waits until the other has looked at the place, too.
        if first.is_set():
            second.set()
        else:
            first.set()
            assert second.wait(10)
        publish(temporary, final)

    monkeypatch.setattr(files, "publish_new_dir", meet)
    with ThreadPoolExecutor(2) as pool:
        tries = [
            pool.submit(snapshot, order, tmp_path / "s", collection={"shards": len(order)})
            for order in (writers, writers[::-1])
        ]
        outcomes = [attempt.exception() or attempt.result() for attempt in tries]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Snapshot"]
    assert verify_snapshot(tmp_path / "s") in outcomes
    assert leftovers(tmp_path) == []


def test_snapshots_at_once_that_name_the_shards_in_different_orders_do_not_wait_in_a_circle(
    tmp_path: Path, writers: list[ShardWriter]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        tries = [
            pool.submit(snapshot, writers[::step], tmp_path / f"s{number}", collection={})
            for number, step in enumerate([1, -1] * 6)
        ]
        points = [[part.points for part in attempt.result(60).shards] for attempt in tries]
    assert points == [[1118, 1118, 0], [0, 1118, 1118]] * 6


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_nothing_is_overwritten_by_a_restore(
    tmp_path: Path, made: Path, open_at: OpenAt, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    there = open_at(targets(tmp_path)[taken])
    there.upsert(batch_of(["mine"], clustered(1))).result()
    monkeypatch.setattr(files, "write_blocks", never)
    with pytest.raises(Conflict):
        restore(made, targets(tmp_path))
    assert all_ids(there) == ["mine"]
    assert [path.name for path in (tmp_path / "restored").iterdir()] == [f"shard-{taken}"]


def test_a_place_that_is_taken_meanwhile_costs_the_whole_restore(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = files.publish_new_dir

    def taken_meanwhile(temporary: Path, final: Path) -> None:
        if final == targets(tmp_path)[1]:
            final.mkdir()
            (final / "mine").write_text("")
        publish(temporary, final)

    monkeypatch.setattr(files, "publish_new_dir", taken_meanwhile)
    with pytest.raises(Conflict):
        restore(made, targets(tmp_path))
    assert [path.name for path in (tmp_path / "restored").rglob("*")] == ["shard-1", "mine"]


def test_a_snapshot_is_restored_as_often_as_there_are_places(
    tmp_path: Path, made: Path, open_at: OpenAt
) -> None:
    places = [[tmp_path / name / str(number) for number in range(3)] for name in "xy"]
    for place in places:
        restore(made, place)
    with pytest.raises(Conflict):
        restore(made, places[0])
    first, other = (open_at(place[0], make=False) for place in places)
    first.delete(["a5"]).result()
    assert len(all_ids(first)) == len(all_ids(other)) - 1


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_snapshot_needs_a_folder_for_each_shard(tmp_path: Path, made: Path, count: int) -> None:
    with pytest.raises(InvalidRequest):
        restore(made, targets(tmp_path, count))
    with pytest.raises(InvalidRequest):
        restore(made, [targets(tmp_path)[0]] * 3)
    assert nothing_restored(tmp_path)


# Addresses.


@pytest.mark.parametrize(
    "address",
    [
        "hdfs://user:hunter2@host/x",
        "file://user:hunter2@host/x",
        "s3://user:hunter2@/x",
        "s3://user:hunter2@bucket/x?hunter2=1",
        "gs://user:hunter2@bucket/x?nothing=1",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(
    address: str, writers: list[ShardWriter]
) -> None:
    with pytest.raises(VectorayError) as caught:
        snapshot(writers, address, collection={})
    assert isinstance(caught.value, InvalidRequest)
    assert "hunter2" not in f"{caught.value.message} {caught.value.details}"
    assert_no_cause(caught.value)


def assert_no_cause(error: BaseException) -> None:
    """What a log would show beside the error."""
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    ("raised", "becomes", "says"),
    [
        (OSError("hunter2: AWS Error SLOW_DOWN during PutObject: host 10.0.0.1"), Unavailable, "(SLOW_DOWN)"),
        (OSError("hunter2: AWS Error ACCESS_DENIED during X"), InvalidRequest, "(ACCESS_DENIED)"),
        (OSError("google::cloud::Status(PERMISSION_DENIED: hunter2)"), InvalidRequest, "(PERMISSION_DENIED)"),
        (OSError("hunter2 HUNTER2"), Unavailable, "failed while"),
        (OSError(errno.ENOSPC, "hunter2"), StorageFull, "No space left"),
        (FileNotFoundError("hunter2"), InvalidRequest, "refused while"),
        (pa.ArrowInvalid("hunter2"), InvalidRequest, "URI"),
    ],
)
def test_of_an_error_of_a_bucket_only_its_kind_is_shown(
    raised: Exception, becomes: type[VectorayError], says: str
) -> None:
    with pytest.raises(VectorayError) as caught, _bucket_errors("being written"):
        raise raised
    assert type(caught.value) is becomes
    assert says in caught.value.message
    assert not re.search("hunter2|10.0.0.1", caught.value.message, re.IGNORECASE)
    assert_no_cause(caught.value)
