"""A snapshot or a restore that fails or dies half-way leaves nothing that counts, and can be made again."""

import errno
import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from storage import files
from storage.shard import shard_exists
from storage.snapshot import read_snapshot, restore, snapshot
from storage.writer import ShardWriter
from tests.unit.storage.conftest import batch_of, clustered
from tests.unit.storage.snapshot.conftest import OpenAt, damage, leftovers, nothing_restored, targets
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import CorruptData, InternalError, SnapshotNotFound, StorageFull, Unavailable


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


@pytest.mark.slow
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


@pytest.mark.slow
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
