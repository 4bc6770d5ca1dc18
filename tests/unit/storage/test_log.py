"""The write log: nothing damaged is believed, nothing missing goes unnoticed, a failed append never was."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import storage.records
from storage.log import WriteLog
from storage.manifest import GenerationCounter
from storage.records import Records, WriteKind, decode, encode
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from vectoray.core.errors import CorruptData, StorageFull

DIMENSION = 3


def records(first_seq: int, ids: list[str], deleted: set[int] | None = None) -> Records:
    """One record for each id; the rows in ``deleted`` delete theirs."""
    gone = np.array([row in (deleted or set()) for row in range(len(ids))], dtype=np.bool_)
    rows = int(np.count_nonzero(~gone))
    return Records(
        first_seq=first_seq,
        ids=ids,
        updated_ms=np.arange(first_seq, first_seq + len(ids), dtype=np.int64),
        kinds=np.where(gone, WriteKind.DELETE, np.arange(len(ids)) % 3).astype(np.uint8),
        vectors=np.arange(rows * DIMENSION, dtype=np.float32).reshape(rows, DIMENSION) - first_seq,
        payloads=[b"{}" if row in (deleted or set()) else b'{"row":%d}' % row for row in range(len(ids))],
        texts=[None if row % 2 else f"text {row}" for row in range(len(ids))],
        sources=[f"source {row}" if row % 2 else None for row in range(len(ids))],
        chunk_indexes=np.arange(-1, len(ids) - 1, dtype=np.int32),
        created_ms=np.arange(first_seq - 9, first_seq - 9 + len(ids), dtype=np.int64),
    )


def assert_same(found: Records, expected: Records) -> None:
    assert (found.first_seq, found.last_seq) == (expected.first_seq, expected.last_seq)
    assert list(found.ids) == list(expected.ids)
    assert list(found.payloads) == list(expected.payloads)
    assert list(found.texts) == list(expected.texts)
    assert list(found.sources) == list(expected.sources)
    assert found.vectors.dtype == np.float32
    for column in ("updated_ms", "kinds", "vectors", "chunk_indexes", "created_ms"):
        assert getattr(found, column).dtype == getattr(expected, column).dtype
        assert np.array_equal(getattr(found, column), getattr(expected, column))


def log_of(directory: Path, *sizes: int) -> WriteLog:
    """A log of batches with this many rows each, the first of them number 1."""
    log = WriteLog(directory)
    first_seq = 1
    for size in sizes:
        log.append(records(first_seq, [f"p{first_seq + row}" for row in range(size)]))
        first_seq += size
    return log


def names(directory: Path) -> list[int]:
    """The first sequence number of each file; fails on anything that is not a batch."""
    return sorted(int(path.name.removesuffix(".arrow")) for path in directory.iterdir())


def spans(log: WriteLog, seq: int) -> list[tuple[int, int]]:
    return [(batch.first_seq, batch.last_seq) for batch in log.read_after(seq)]


@pytest.mark.parametrize(
    "given",
    [
        records(1, ["a"]),
        records(2**62, ["a", "é", "😀\n", "it's", "\x00", " "], {1, 4}),
        records(7, ["only", "deletes"], {0, 1}),
    ],
    ids=["one", "mixed", "deletes"],
)
def test_what_was_appended_is_read_back(tmp_path: Path, given: Records) -> None:
    log = WriteLog(tmp_path)
    log.append(given)
    assert_same(log.read_one(given.first_seq), given)


def test_every_single_flipped_bit_of_a_batch_is_noticed() -> None:
    data = encode(records(1, ["a", "b"], {1}))
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        with pytest.raises(CorruptData):
            decode(memoryview(damaged))


def test_a_batch_of_another_format_is_refused_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.records, "_FORMAT", "1")
    data = encode(records(1, ["a"]))
    monkeypatch.undo()
    with pytest.raises(CorruptData, match="a format that this version does not read"):
        decode(memoryview(data))


def test_a_batch_cut_short_at_any_byte_is_noticed() -> None:
    data = encode(records(1, ["a"]))
    for length in range(len(data)):
        with pytest.raises(CorruptData):
            decode(memoryview(data[:length]))


def test_a_batch_under_another_number_is_noticed(tmp_path: Path) -> None:
    log = log_of(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / path.name.replace("1.", "2."))
    with pytest.raises(CorruptData, match="another number"):
        log.read_one(2)


def test_reading_after_a_write_skips_the_batches_that_end_before_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, 3, 1, 4)
    assert spans(log, 0) == [(1, 3), (4, 4), (5, 8)]
    assert spans(log, 3) == [(4, 4), (5, 8)]
    assert spans(log, 4) == [(5, 8)]
    assert spans(log, 8) == []


def test_batches_that_are_not_needed_are_not_opened(tmp_path: Path) -> None:
    log = log_of(tmp_path, 2, 2, 2)
    (tmp_path / f"{1:020d}.arrow").write_bytes(b"garbage")
    assert spans(log, 2) == [(3, 4), (5, 6)]
    with pytest.raises(CorruptData):
        spans(log, 0)


@pytest.mark.parametrize(("missing", "seq"), [(1, 0), (3, 0), (3, 2), (4, 3)])
def test_a_missing_batch_is_noticed(tmp_path: Path, missing: int, seq: int) -> None:
    log = log_of(tmp_path, 2, 1, 2, 1)
    (tmp_path / f"{missing:020d}.arrow").unlink()
    with pytest.raises(CorruptData, match="write log"):
        spans(log, seq)


def test_dropping_takes_whole_batches_only_and_leaves_the_newest(tmp_path: Path) -> None:
    log = log_of(tmp_path, 2, 2, 2)
    assert log.oldest_seq() == 1
    log.drop_through(1)
    assert names(tmp_path) == [1, 3, 5]
    log.drop_through(2)
    assert names(tmp_path) == [3, 5]
    assert log.oldest_seq() == 3
    log.drop_through(6)
    log.drop_through(1_000)
    assert names(tmp_path) == [5]


def test_an_empty_log_begins_at_one(tmp_path: Path) -> None:
    log = WriteLog(tmp_path)
    assert log.oldest_seq() == 1
    assert spans(log, 0) == []
    log.drop_through(10)


def fail_open(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


def fail_write(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_half_way(descriptor: int, data: memoryview, *, write: Callable[..., int] = os.write) -> int:
    if len(data) < 400:
        raise OSError(errno.ENOSPC, "No space left on device")
    return write(descriptor, data[:300])


def fail_fsync_of_the_file(descriptor: int, *, fsync: Callable[[int], None] = os.fsync) -> None:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EIO, "Input/output error")
    fsync(descriptor)


def fail_fsync_of_the_folder(descriptor: int, *, fsync: Callable[[int], None] = os.fsync) -> None:
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EIO, "Input/output error")
    fsync(descriptor)


def fail_rename(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


FAILURES = [
    ("open", fail_open),
    ("write", fail_write),
    ("write", fail_half_way),
    ("fsync", fail_fsync_of_the_file),
    ("fsync", fail_fsync_of_the_folder),
    ("rename", fail_rename),
]


@pytest.mark.parametrize(("function", "failure"), FAILURES, ids=[failure.__name__ for _, failure in FAILURES])
def test_a_failed_append_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, failure: Callable[..., object]
) -> None:
    log = log_of(tmp_path, 2)
    with monkeypatch.context() as patched:
        patched.setattr(os, function, failure)
        with pytest.raises(OSError, match=r"Too many|No space|Input/output"):
            log.append(records(3, ["lost"]))
    assert names(tmp_path) == [1]
    assert spans(log, 0) == [(1, 2)]

    log.append(records(3, ["kept"]))

    assert spans(log, 0) == [(1, 2), (3, 3)]
    assert log.read_one(3).ids == ["kept"]


def test_a_write_is_acknowledged_and_announced_only_after_the_last_fsync(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    counter = GenerationCounter(tmp_path / "shard" / "GENERATION", writable=False)
    submitted = threading.Event()
    seen: list[tuple[bool, int, bool]] = []
    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        submitted.wait(10)
        seen.append((pending.done(), counter.read()[1], writer.get("a") is not None))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", watched_fsync)
        pending = writer.upsert(batch_of(["a"], clustered(1)))
        submitted.set()
        assert pending.result(10).written == 1

    # The file and then its folder; neither time had anyone heard of the write.
    assert seen == [(False, 0, False), (False, 0, False)]
    assert counter.read()[1] == 1
    counter.close()


def test_a_group_that_could_not_be_written_is_refused_to_everyone_in_it_and_forgotten(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["old"], clustered(1))).result()
    released = threading.Event()
    rename = os.rename

    def failing_rename(source: object, target: object) -> None:
        released.wait(10)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", failing_rename)
    group = [
        writer.upsert(batch_of(["x"], clustered(1))),
        writer.upsert(batch_of(["y"], clustered(1))),
    ]
    deletion = writer.delete(["old"])
    released.set()
    for refused in group:
        with pytest.raises(StorageFull):
            refused.result(10)
    with pytest.raises(StorageFull):
        deletion.result(10)
    monkeypatch.setattr(os, "rename", rename)
    assert writer.upsert(batch_of(["z"], clustered(1))).result(10).written == 1
    writer.close(flush=False)

    reopened = open_shard()
    assert [point_id for point_id in ("old", "x", "y", "z") if reopened.get(point_id)] == ["old", "z"]
