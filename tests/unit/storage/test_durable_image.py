"""The model of a disk that loses power: what it may lose, and what it must not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage import files
from tests.unit.storage.durable_image import DurableImage, KilledError

TRIES = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DurableImage]:
    """An image of a folder that holds ``old``, durable."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old").write_bytes(b"0123456789")
    image = DurableImage(tmp_path / "disk", tmp_path / "vault")
    with image.watching(lambda _: None):
        yield image
    image.close()


def outcomes(image: DurableImage) -> set[tuple[tuple[str, bytes], ...]]:
    """The different states that may survive: (path, bytes) of each file."""
    found = set()
    for seed in range(TRIES):
        target = image.root.with_name(f"survivor-{seed}")
        image.write_survivor(target, np.random.default_rng(seed))
        paths = sorted(path for path in target.rglob("*") if path.is_file())
        found.add(tuple((str(path.relative_to(target)), path.read_bytes()) for path in paths))
        shutil.rmtree(target)
    return found


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


OLD = ("old", b"0123456789")


def test_what_is_durable_survives_as_it_is(disk: DurableImage) -> None:
    assert outcomes(disk) == {(OLD,)}


def test_a_new_file_that_was_not_synced_may_be_absent_or_hold_anything(disk: DurableImage) -> None:
    (disk.root / "new").write_bytes(b"abc")
    found = {dict(state).get("new") for state in outcomes(disk)}
    assert found >= {None, b"", b"abc", b"\0\0\0"}
    assert found & {b"a", b"ab"}


def test_a_file_that_was_synced_in_a_folder_that_was_not_is_whole_or_absent(disk: DurableImage) -> None:
    (disk.root / "new").write_bytes(b"abc")
    files.fsync_file(disk.root / "new")
    assert outcomes(disk) == {(OLD,), (("new", b"abc"), OLD)}


def test_a_name_that_was_synced_on_a_file_that_was_not_says_nothing_of_its_bytes(disk: DurableImage) -> None:
    (disk.root / "new").write_bytes(b"abc")
    files.fsync_dir(disk.root)
    found = {dict(state)["new"] for state in outcomes(disk)}
    assert found >= {b"", b"abc", b"\0\0\0"}


def test_a_durable_write_is_there_whatever_happens(disk: DurableImage) -> None:
    files.write_durable(disk.root / "new", b"abc")
    assert outcomes(disk) == {(("new", b"abc"), OLD)}


def test_a_rename_happened_wholly_or_not_at_all(disk: DurableImage) -> None:
    (disk.root / "old").rename(disk.root / "moved")
    assert outcomes(disk) == {(OLD,), (("moved", OLD[1]),)}
    files.fsync_dir(disk.root)
    assert outcomes(disk) == {(("moved", OLD[1]),)}


def test_a_rename_over_a_name_leaves_one_of_the_two_under_it(disk: DurableImage) -> None:
    (disk.root / "new").write_bytes(b"abc")
    files.fsync_file(disk.root / "new")
    (disk.root / "new").rename(disk.root / "old")
    assert outcomes(disk) == {(OLD,), (("old", b"abc"),)}


def test_a_removed_file_may_come_back_until_its_folder_is_synced(disk: DurableImage) -> None:
    (disk.root / "old").unlink()
    assert outcomes(disk) == {(OLD,), ()}
    files.fsync_dir(disk.root)
    assert outcomes(disk) == {()}


def test_a_number_used_again_does_not_bring_another_files_bytes(disk: DurableImage) -> None:
    (disk.root / "old").unlink()
    for name in ("a", "b", "c"):
        (disk.root / name).write_bytes(b"")
    assert {state for state in outcomes(disk) if b"0123456789" in dict(state).values()} == {
        state for state in outcomes(disk) if "old" in dict(state)
    }


def test_bytes_written_since_the_last_sync_may_be_lost_or_torn(disk: DurableImage) -> None:
    with (disk.root / "old").open("r+b") as file:
        file.write(b"abc")
    found = {dict(state)["old"] for state in outcomes(disk)}
    assert found >= {b"0123456789", b"abc3456789", bytes(10)}
    files.fsync_file(disk.root / "old")
    assert outcomes(disk) == {(("old", b"abc3456789"),)}


def test_a_folder_survives_with_the_names_it_had_when_it_was_synced(disk: DurableImage) -> None:
    folder = disk.root / "folder"
    folder.mkdir()
    files.write_durable(folder / "first", b"1")
    assert outcomes(disk) == {(OLD,), (("folder/first", b"1"), OLD)}
    files.fsync_dir(disk.root)
    (folder / "second").write_bytes(b"")
    assert outcomes(disk) == {
        (("folder/first", b"1"), OLD),
        (("folder/first", b"1"), ("folder/second", b""), OLD),
    }


def test_changes_to_different_files_survive_each_by_itself(disk: DurableImage) -> None:
    for name in ("a", "b"):
        (disk.root / name).write_bytes(b"")
    assert {tuple(name for name, _ in state) for state in outcomes(disk)} == {
        ("old",),
        ("a", "old"),
        ("b", "old"),
        ("a", "b", "old"),
    }


def test_a_removed_folder_may_come_back_with_what_was_in_it(disk: DurableImage) -> None:
    files.make_dir_durable(disk.root / "folder")
    files.write_durable(disk.root / "folder" / "file", b"1")
    (disk.root / "folder" / "file").unlink()
    (disk.root / "folder").rmdir()
    assert outcomes(disk) == {(OLD,), (("folder/file", b"1"), OLD)}


def test_changes_are_announced_before_they_happen_and_refused_after_the_end(tmp_path: Path) -> None:
    for name in ("disk", "vault", "elsewhere"):
        (tmp_path / name).mkdir()
    image = DurableImage(tmp_path / "disk", tmp_path / "vault")
    seen: list[tuple[str, list[str]]] = []
    with image.watching(lambda call: seen.append((call, names_in(image.root)))):
        files.write_durable(image.root / "a", b"1")
        files.write_durable(tmp_path / "elsewhere" / "b", b"1")
        image.dead = True
        with pytest.raises(KilledError):
            (image.root / "a").unlink()
        with pytest.raises(KilledError):
            files.write_durable(image.root / "c", b"1")
    image.close()
    assert seen == [
        ("open .tmp-a", []),
        ("write .tmp-a", [".tmp-a"]),
        ("fsync .tmp-a", [".tmp-a"]),
        ("rename .tmp-a", [".tmp-a"]),
        ("fsync .", ["a"]),
    ]
    assert names_in(image.root) == ["a"]
