"""Damaged snapshots, places that are taken and addresses that cannot be used are refused."""

import errno
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

from storage import files
from storage.buckets import bucket_errors
from storage.snapshot import read_snapshot, restore, snapshot, verify_snapshot
from storage.writer import ShardWriter
from tests.unit.storage.conftest import batch_of, clustered
from tests.unit.storage.snapshot.conftest import OpenAt, damage, leftovers, nothing_restored, targets
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import (
    Conflict,
    CorruptData,
    InvalidRequest,
    SnapshotNotFound,
    StorageFull,
    Unavailable,
    VectorayError,
)

# Snapshots that are not what was written.


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
        lambda value: value.update(format=1),
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
    with pytest.raises(VectorayError) as caught, bucket_errors("being written"):
        raise raised
    assert type(caught.value) is becomes
    assert says in caught.value.message
    assert not re.search("hunter2|10.0.0.1", caught.value.message, re.IGNORECASE)
    assert_no_cause(caught.value)
