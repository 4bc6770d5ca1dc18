"""What is restored is exactly what was there, and goes on as a shard does."""

import shutil
from pathlib import Path

import pytest

from storage import files
from storage.bulk import write_fragment
from storage.snapshot import read_snapshot, restore, snapshot, verify_snapshot
from storage.writer import ShardWriter
from tests.unit.storage.conftest import batch_of, clustered
from tests.unit.storage.snapshot.conftest import ABOUT, OpenAt, contents, damage, leftovers, targets
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import CorruptData


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
