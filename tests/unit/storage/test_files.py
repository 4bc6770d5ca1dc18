"""Durable files: in which order the disk is asked for what, and what a reader may believe."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import files
from vectoray.core.errors import CorruptData, InternalError, ShardLocked, StorageFull, VectorayError

Calls = list[tuple[str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What reaches the disk, in order: (call, name of the file it concerns)."""
    made: Calls = []

    def path_of(descriptor: int) -> Path:
        return Path(f"/proc/self/fd/{descriptor}").readlink()

    def record(function: str, describe: Callable[..., str]) -> None:
        original = getattr(os, function)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            made.append((function, describe(*args)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, function, recorded)

    record("write", lambda descriptor, _: path_of(descriptor).name)
    record("fsync", lambda descriptor: path_of(descriptor).name)
    record("rename", lambda _, target: Path(target).name)
    record("mkdir", lambda path, *_: Path(path).name)
    return made


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path, calls: Calls) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    calls.clear()
    files.write_durable(folder / "data", b"content")
    assert calls == [("write", ".tmp-data"), ("fsync", ".tmp-data"), ("rename", "data"), ("fsync", "folder")]
    assert (folder / "data").read_bytes() == b"content"
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_short_writes_are_continued_before_anything_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 3
    sizes = []
    write, fsync = os.write, os.fsync

    def short_write(descriptor: int, data: memoryview) -> int:
        return write(descriptor, data[:100])

    def measured_fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "write", short_write)
    monkeypatch.setattr(os, "fsync", measured_fsync)
    files.write_durable(tmp_path / "data", data)
    assert (tmp_path / "data").read_bytes() == data
    assert sizes[0] == len(data)


def test_a_file_is_replaced_as_a_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    files.write_durable(path, b"a longer first version")
    files.write_durable(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_replacement_that_fails_before_the_rename_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    files.write_durable(path, b"old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        files.write_durable(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["data"]


def test_a_folder_is_published_only_after_everything_in_it_is_synced(tmp_path: Path, calls: Calls) -> None:
    parent = tmp_path / "parent"
    temporary = parent / ".tmp-x"
    temporary.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (temporary / name).write_bytes(name.encode())
    calls.clear()

    files.publish_dir(temporary, parent / "x")

    assert sorted(calls[:3]) == [("fsync", "a"), ("fsync", "b"), ("fsync", "c")]
    assert calls[3:] == [("fsync", ".tmp-x"), ("rename", "x"), ("fsync", "parent")]
    assert sorted(path.name for path in (parent / "x").iterdir()) == ["a", "b", "c"]


def test_every_new_folder_is_synced_into_its_parent(tmp_path: Path, calls: Calls) -> None:
    top = tmp_path / "top"
    top.mkdir()
    calls.clear()
    files.make_dir_durable(top / "a" / "b")
    assert calls == [("mkdir", "a"), ("fsync", "top"), ("mkdir", "b"), ("fsync", "a")]
    files.make_dir_durable(top / "a" / "b")
    assert len(calls) == 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_as_such(code: int) -> None:
    with pytest.raises(StorageFull, match="while writing a batch"), files.disk_errors("writing a batch"):
        raise OSError(code, os.strerror(code), "/secret/place")


def test_errors_of_the_disk_tell_clients_no_path() -> None:
    with pytest.raises(InternalError) as broken, files.disk_errors("reading"):
        raise OSError(errno.EIO, "Input/output error", "/secret/place")
    with pytest.raises(StorageFull) as full, files.disk_errors("reading"):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
    errors: list[VectorayError] = [broken.value, full.value]
    for error in errors:
        assert "secret" not in f"{error} {error.details}"


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ValueError, match="mine"), files.disk_errors("reading"):
        raise ValueError("mine")


def test_both_checksums_agree_whatever_the_size(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for size in (0, 1, (1 << 22) - 1, 1 << 22, (1 << 22) + 1):
        data = bytes(size)
        path.write_bytes(data)
        assert files.checksum_file(path) == files.checksum(data)


VALUE: dict[str, object] = {
    "n": 12,
    "names": ["a", "b"],
    "nested": {"x": None, "y": [1.5, True]},
    "s": "text",
}


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    files.write_json_durable(path, VALUE)
    assert files.read_json(path) == VALUE


def test_json_with_any_single_byte_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value.json"
    files.write_json_durable(path, VALUE)
    data = path.read_bytes()
    for at in range(len(data)):
        for other in {data[at] ^ (1 << bit) for bit in range(8)} | {ord(" "), ord("0"), 0, 255}:
            if other == data[at]:
                continue
            damaged = data[:at] + bytes([other]) + data[at + 1 :]
            monkeypatch.setattr(Path, "read_bytes", lambda _, damaged=damaged: damaged)
            with pytest.raises(CorruptData):
                files.read_json(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"x"', b'{"checksum":"x"}', b'{"value":{}}', b"\xff\xfe"]
)
def test_json_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(CorruptData):
        files.read_json(path)


def test_json_that_is_no_object_is_refused_though_its_checksum_is_right(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(b'{"checksum":"%s","value":[1]}' % files.checksum(b"[1]").encode())
    with pytest.raises(CorruptData):
        files.read_json(path)


def test_json_that_is_not_there_is_not_taken_for_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "absent.json")


def test_a_lock_has_one_holder_who_is_named_to_others(tmp_path: Path) -> None:
    first = files.FileLock(tmp_path / "LOCK")
    with pytest.raises(ShardLocked) as caught:
        files.FileLock(tmp_path / "LOCK")
    assert caught.value.details == {"holder_pid": str(os.getpid())}
    first.release()
    files.FileLock(tmp_path / "LOCK").release()


def test_a_refused_lock_keeps_no_descriptor(tmp_path: Path) -> None:
    holder = files.FileLock(tmp_path / "LOCK")
    for _ in range(3):
        with pytest.raises(ShardLocked):
            files.FileLock(tmp_path / "LOCK")
    # Counted by name: other threads of the test process open and close files of their own.
    assert _descriptors_of(tmp_path / "LOCK") == 1
    holder.release()
    assert _descriptors_of(tmp_path / "LOCK") == 0


def _descriptors_of(path: Path) -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += descriptor.readlink() == path
    return count


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from storage.files import FileLock\n"
        f"lock = FileLock(pathlib.Path({str(tmp_path / 'LOCK')!r}))\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(ShardLocked) as caught:
        files.FileLock(tmp_path / "LOCK")
    assert caught.value.details == {"holder_pid": str(child.pid)}
    child.kill()
    child.wait(10)
    child.stdin.close()
    child.stdout.close()
    files.FileLock(tmp_path / "LOCK").release()
