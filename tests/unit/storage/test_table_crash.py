"""Whatever moment a flush is cut short at, repeating it leaves exactly the live points in the table."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pytest
from lance.optimize import Compaction

from storage import files
from storage import table as table_module
from storage.table import PointTable
from tests.unit.storage.tables import State, open_table, records, rows_of, state_of
from vectoray.core.errors import CorruptData

BEFORE = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
AFTER = {"a": 2.0, "b": 1.0, "d": 1.0, "e": 2.0}

Repeat = Callable[[PointTable], None]


def flush(table: PointTable) -> None:
    table.apply([records(5, a=2.0, c=None), records(7, e=2.0)], 7)


def rewrite(table: PointTable) -> None:
    table.rewrite(rows_of(AFTER, 7), 7)


def tidy(table: PointTable) -> None:
    flush(table)
    table.tidy()


class Disk:
    """Images of a shard's folder at every moment that something becomes durable or is committed.

    After `kill -9` a file holds what was written to it; after a loss of power only what was synced counts,
    and anything else may be there without its content.
    """

    def __init__(
        self, shard: Path, images: Path, monkeypatch: pytest.MonkeyPatch, *, power_lost: bool
    ) -> None:
        self._shard, self._images, self._power_lost = shard, images, power_lost
        self._durable: set[Path] = {path for path in shard.rglob("*") if path.is_file()}
        self.images: list[Path] = []
        fsync_file, fsync_dir = files.fsync_file, files.fsync_dir
        commit, update_config = lance.LanceDataset.commit, lance.LanceDataset.update_config
        compact = Compaction.commit

        def note_file(path: Path) -> None:
            fsync_file(path)
            self._durable.add(path)
            self._take()

        def note_dir(path: Path) -> None:
            fsync_dir(path)
            self._take()

        def around(change: Callable[..., Any]) -> Callable[..., Any]:
            def changed(*args: Any, **options: Any) -> Any:
                self._take()
                result = change(*args, **options)
                self._take()
                return result

            return changed

        monkeypatch.setattr(files, "fsync_file", note_file)
        monkeypatch.setattr(files, "fsync_dir", note_dir)
        monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(around(commit)))
        monkeypatch.setattr(lance.LanceDataset, "update_config", around(update_config))
        monkeypatch.setattr(Compaction, "commit", staticmethod(around(compact)))

    def _take(self) -> None:
        image = self._images / str(len(self.images))
        shutil.copytree(self._shard, image)
        if self._power_lost:
            for path in self._shard.rglob("*"):
                if path.is_file() and path not in self._durable:
                    size = path.stat().st_size
                    (image / path.relative_to(self._shard)).write_bytes(
                        bytes(size if len(self.images) % 2 else 0)
                    )
        self.images.append(image)


@pytest.mark.slow
@pytest.mark.parametrize("power_lost", [False, True])
@pytest.mark.parametrize("change", [flush, rewrite, tidy])
def test_a_change_of_the_table_that_was_cut_short_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Repeat, *, power_lost: bool
) -> None:
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    table = open_table(tmp_path / "shard", keep_versions_s=0)
    table.apply([records(1, a=1.0, b=1.0, c=1.0, d=1.0)], 4)
    with monkeypatch.context() as patched:
        disk = Disk(tmp_path / "shard", tmp_path / "images", patched, power_lost=power_lost)
        change(table)
    assert len(disk.images) > 5

    for image in disk.images:
        reopened = open_table(image, epoch=1)
        found: State = state_of(reopened.read_all())
        assert reopened.flushed_seq in (4, 7)
        if reopened.flushed_seq == 7:
            assert found == AFTER
        # Repeated even if it was complete.
        for _ in range(2):
            (flush if change is tidy else change)(reopened)
            assert state_of(reopened.read_all()) == AFTER
        again = open_table(image, epoch=2)
        assert (state_of(again.read_all()), again.flushed_seq) == (AFTER, 7)


def test_a_table_whose_making_was_cut_short_by_a_loss_of_power_is_no_table_or_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shard").mkdir()
    with monkeypatch.context() as patched:
        disk = Disk(tmp_path / "shard", tmp_path / "images", patched, power_lost=True)
        open_table(tmp_path / "shard")
    for image in disk.images:
        try:
            table = open_table(image)
        except CorruptData:
            # Its only manifest was lost: the shard puts the whole of it aside, and makes another.
            continue
        assert (state_of(table.read_all()), table.flushed_seq) == ({}, 0)


def test_the_disk_is_asked_for_an_fsync_of_all_that_a_version_names_before_there_is_that_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(tmp_path)
    table.apply([records(1, a=1.0, b=1.0, c=1.0, d=1.0)], 4)
    durable = {path for path in tmp_path.rglob("*") if path.is_file()}
    fsync_file, commit = files.fsync_file, lance.LanceDataset.commit
    unsafe: list[list[str]] = []

    def note(path: Path) -> None:
        fsync_file(path)
        durable.add(path)

    def look(*args: Any, **options: Any) -> Any:
        folders = [tmp_path / "table" / "points.lance" / name for name in ("data", "_deletions")]
        unsafe.append([path.name for folder in folders for path in folder.glob("*") if path not in durable])
        return commit(*args, **options)

    monkeypatch.setattr(files, "fsync_file", note)
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(look))
    flush(table)
    rewrite(table)
    assert unsafe == [[]] * 3
