"""Versions of the table: damaged ones are put aside, past ones can be read."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from lance.dataset import MergeInsertBuilder
from structlog.testing import capture_logs

from storage import table as table_module
from storage import table_read
from storage.table import PointTable
from storage.table_read import read_live_points, read_version
from storage.table_versions import manifest_path, open_version, table_versions, version_numbers
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.tables import DIMENSION, open_table, records, rows_of, state_of, writes
from vectoray.core.errors import CorruptData, InvalidRequest, VersionNotFound
from vectoray.core.filters import And, Eq, Range

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut_short": lambda data: data[: len(data) // 2],
    "without_its_end": lambda data: data[:-4],
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: np.random.default_rng(0).bytes(len(data)),
    "short_garbage": lambda _: b"xx",
}


FIRST = records(1, a=1.0, b=1.0, k=1.0)
SECOND = records(4, a=2.0, b=None, c=2.0)
AFTER_SECOND = {"a": 2.0, "c": 2.0, "k": 1.0}


def damage(path: Path, kind: str) -> None:
    path.write_bytes(DAMAGES[kind](path.read_bytes()))


def two_flushes(shard: Path) -> None:
    """``a``, ``b`` and ``k``, then `SECOND`."""
    table = open_table(shard)
    table.apply([FIRST], 3)
    table.apply([SECOND], 6)


# A manifest that cannot be read.


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_unreadable_newest_manifest_is_put_aside_and_the_version_before_it_used(
    tmp_path: Path, kind: str
) -> None:
    two_flushes(tmp_path)
    newest = version_numbers(tmp_path / "table")[0]
    manifest = manifest_path(tmp_path / "table", newest)
    damage(manifest, kind)
    unreadable = manifest.read_bytes()

    with capture_logs() as logs:
        table = open_table(tmp_path)

    assert table._dataset.version == newest - 1
    assert table.flushed_seq == 3
    put_aside = list((tmp_path / "quarantine").rglob("*.manifest"))
    assert [(path.name, path.read_bytes()) for path in put_aside] == [(manifest.name, unreadable)]
    assert [
        (line["versions"], line["used"], line["log_level"])
        for line in logs
        if line["event"] == "table_versions_put_aside"
    ] == [([newest], newest - 1, "warning")]

    # The same writes again; the number is given anew.
    table.apply([SECOND], 6)
    assert state_of(table.read_all()) == AFTER_SECOND
    assert manifest.exists()
    again = open_table(tmp_path)
    assert (state_of(again.read_all()), again.flushed_seq) == (AFTER_SECOND, 6)
    plain = lance.dataset(str(tmp_path / "table" / "points.lance")).to_table()
    assert sorted(plain["id"].to_pylist()) == ["a", "c", "k"]


def test_a_manifest_with_the_content_of_another_version_is_unreadable(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    newest, *_, oldest = version_numbers(tmp_path / "table")
    manifest_path(tmp_path / "table", newest).write_bytes(
        manifest_path(tmp_path / "table", oldest).read_bytes()
    )
    assert open_table(tmp_path)._dataset.version == newest - 1


def test_several_unreadable_manifests_are_put_aside_whether_newest_or_not(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    numbers = version_numbers(tmp_path / "table")
    for number, kind in ((numbers[0], "empty"), (numbers[1], "zeros"), (numbers[3], "garbage")):
        damage(manifest_path(tmp_path / "table", number), kind)
    table = open_table(tmp_path)
    assert table._dataset.version == numbers[2]
    assert len(list((tmp_path / "quarantine").rglob("*.manifest"))) == 3
    table.apply([FIRST, SECOND], 6)
    assert state_of(open_table(tmp_path).read_all()) == AFTER_SECOND


def test_a_table_without_a_readable_version_is_left_as_it_is(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    for number in version_numbers(tmp_path / "table"):
        damage(manifest_path(tmp_path / "table", number), "zeros")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CorruptData):
        open_table(tmp_path)
    with pytest.raises(CorruptData):
        read_live_points(tmp_path / "table", DIMENSION)
    assert sorted(tmp_path.rglob("*")) == before


def test_old_versions_are_forgotten_though_the_manifest_of_one_has_become_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(tmp_path, keep_versions_s=0)
    table.apply([records(1, a=1.0)], 1)
    damage(manifest_path(tmp_path / "table", 2), "zeros")
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    table.tidy()
    assert len(version_numbers(tmp_path / "table")) == 1
    assert len(list((tmp_path / "quarantine").rglob("*.manifest"))) == 1


def test_what_lance_only_hints_at_may_be_anything(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    hint = tmp_path / "table" / "points.lance" / "_versions" / "latest_version_hint.json"
    for content in (b"", b"garbage", b'{"version":2}', b'{"version":99}'):
        hint.write_bytes(content)
        assert open_table(tmp_path).flushed_seq == 6


# A manifest that can be read, of files that cannot.


def newest_file(shard: Path, folder: str) -> Path:
    return max(
        (shard / "table" / "points.lance" / folder).iterdir(), key=lambda path: path.stat().st_mtime_ns
    )


@pytest.mark.parametrize(
    ("folder", "kind"),
    # Lance does not say how long a list of deleted rows is.
    [
        ("data", "missing"),
        ("data", "empty"),
        ("data", "cut_short"),
        ("_deletions", "missing"),
        ("_deletions", "empty"),
    ],
)
def test_a_version_that_lacks_a_file_is_put_aside_like_an_unreadable_one(
    tmp_path: Path, folder: str, kind: str
) -> None:
    two_flushes(tmp_path)
    file = newest_file(tmp_path, folder)
    if kind == "missing":
        file.unlink()
    else:
        damage(file, kind)
    table = open_table(tmp_path)
    assert table.flushed_seq == 3
    table.apply([SECOND], 6)
    assert state_of(open_table(tmp_path).read_all()) == AFTER_SECOND


@pytest.mark.parametrize("change", ["apply", "tidy"])
@pytest.mark.parametrize("kind", ["zeros", "garbage"])
def test_a_table_with_a_damaged_file_of_full_length_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, change: str
) -> None:
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    two_flushes(tmp_path)
    damage(newest_file(tmp_path, "data"), kind)
    table = open_table(tmp_path)
    with pytest.raises(CorruptData):
        table.read_all()
    with pytest.raises(CorruptData):
        table.tidy() if change == "tidy" else table.apply([records(7, a=6.0)], 7)
    assert not table.is_sound
    table.rewrite(rows_of({"a": 6.0, "c": 2.0}, 7), 7)
    table.apply([records(8, d=8.0)], 8)
    assert state_of(open_table(tmp_path).read_all()) == {"a": 6.0, "c": 2.0, "d": 8.0}


def test_a_full_disk_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = open_table(tmp_path)
    table.apply([records(1, a=1.0)], 1)

    def full(*_: object) -> Any:
        raise OSError("LanceError(IO): No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr(MergeInsertBuilder, "execute_uncommitted", full)
        with pytest.raises(OSError, match="No space"):
            table.apply([records(2, b=2.0)], 2)
    with monkeypatch.context() as patched:
        patched.setattr(lance.LanceDataset, "update_config", full)
        with pytest.raises(OSError, match="No space"):
            table.apply([records(2, b=2.0)], 2)
    assert table.is_sound
    table.apply([records(2, b=2.0)], 2)
    assert state_of(table.read_all()) == {"a": 1.0, "b": 2.0}


# A shard with such a table.


@pytest.mark.parametrize("log_kept", [True, False])
@pytest.mark.parametrize("damaged", [1, 2, 3, 100])
def test_a_shard_mends_its_table_with_the_next_flush(
    open_shard: OpenShard, tmp_path: Path, damaged: int, *, log_kept: bool
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    writer.delete(["a"]).result()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    writer.flush()
    if not log_kept:
        writer.seal()
    writer.close(flush=False)
    for number in version_numbers(tmp_path / "shard" / "table")[:damaged]:
        damage(manifest_path(tmp_path / "shard" / "table", number), "zeros")

    writer = open_shard()
    writer.upsert(batch_of(["d"], clustered(1))).result()
    writer.flush()

    assert sorted(writer._flusher.table.read_all().ids) == ["b", "c", "d"]
    assert writer._flusher.table.flushed_seq == 5
    assert list((tmp_path / "shard" / "quarantine").rglob("*.manifest"))


def test_a_shard_whose_table_turns_out_damaged_in_a_flush_writes_it_anew_in_the_same(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    writer.close()
    damage(newest_file(tmp_path / "shard", "data"), "zeros")
    writer = open_shard()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    writer.flush()
    assert sorted(writer._flusher.table.read_all().ids) == ["a", "b", "c"]


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_table_that_is_gone_is_filled_again_though_nothing_is_written(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_itself: bool
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.seal()
    writer.close()
    shutil.rmtree(tmp_path / "shard" / "table")
    if by_itself:
        flushed, tidy = threading.Event(), PointTable.tidy

        def tidy_and_note(table: PointTable) -> None:
            tidy(table)
            flushed.set()

        monkeypatch.setattr(PointTable, "tidy", tidy_and_note)
        writer = open_shard(flush_interval_s=0.05)
        assert flushed.wait(20)
    else:
        writer = open_shard()
        writer.flush()
    with writer.hold():
        assert sorted(writer._flusher.table.read_all().ids) == ["a", "b"]


def test_a_table_that_was_being_filled_again_when_its_owner_ended_is_filled_by_the_next(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
    writer.seal()
    writer.close()
    shutil.rmtree(tmp_path / "shard" / "table")

    def end(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(PointTable, "rewrite", end)
        writer = open_shard()
        with pytest.raises(OSError, match="Input/output"):
            writer.flush()
        writer.close(flush=False)
    writer = open_shard()
    writer.flush()
    assert sorted(writer._flusher.table.read_all().ids) == ["a", "b"]


def test_a_rebuild_takes_an_older_version_if_the_log_goes_on_from_there_and_changes_no_table(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    writer.delete(["a"]).result()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    writer.flush()
    writer.close()
    table = tmp_path / "shard" / "table"
    damage(manifest_path(table, version_numbers(table)[0]), "zeros")
    for path in (tmp_path / "shard").glob("manifest-*.json"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in table.rglob("*")}

    writer = open_shard()

    assert writer.stats().points == 2
    assert writer.get("a") is None
    assert {path: path.stat().st_mtime_ns for path in table.rglob("*")} == before


def test_a_rebuild_refuses_a_table_that_the_log_does_not_go_on_from(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
        writer.flush()
    writer.close()
    table = tmp_path / "shard" / "table"
    for number in version_numbers(table)[:3]:
        damage(manifest_path(table, number), "zeros")
    for path in (tmp_path / "shard").glob("manifest-*.json"):
        path.unlink()
    before = sorted((tmp_path / "shard").rglob("*"))
    with pytest.raises(CorruptData, match="nothing between"):
        open_shard()
    assert sorted((tmp_path / "shard").rglob("*")) == before


# Reading the past.


def test_each_flush_can_be_read_back_by_its_version_and_by_its_time(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    versions = table_versions(directory)
    assert [(each.flushed_seq, each.rows) for each in versions] == [(0, 0), (3, 3), (6, 3)]

    def ids_at(at: int | datetime) -> list[str]:
        return sorted(read_version(directory, at)["id"].to_pylist())

    assert [ids_at(each.version) for each in versions] == [[], ["a", "b", "k"], ["a", "c", "k"]]
    assert ids_at(versions[2].created) == ["a", "c", "k"]
    assert ids_at(versions[2].created - timedelta(milliseconds=1)) in ([], ["a", "b", "k"])
    assert ids_at(datetime.now(UTC)) == ["a", "c", "k"]
    assert abs(datetime.now(UTC) - versions[2].created) < timedelta(minutes=1)


def test_the_steps_of_a_flush_are_no_versions_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    before = table_versions(directory)
    table = open_table(tmp_path, epoch=2)
    with monkeypatch.context() as patched:
        patched.setattr(table, "_complete", lambda _: None)
        table.apply([records(7, half=1.0)], 7)
    assert version_numbers(directory)[0] > before[-1].version
    assert table_versions(directory) == before
    assert "half" not in read_version(directory, datetime.now(UTC))["id"].to_pylist()
    with pytest.raises(VersionNotFound):
        read_version(directory, version_numbers(directory)[0])


def test_a_version_that_is_not_there_is_not_found_and_those_there_are_named(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    there = [each.version for each in table_versions(tmp_path / "table")]
    for wanted in (0, 10**6, -1, datetime(2000, 1, 1, tzinfo=UTC)):
        with pytest.raises(VersionNotFound) as caught:
            read_version(tmp_path / "table", wanted)
        named: Any = caught.value.details["versions"]
        assert [each["version"] for each in named] == there
        assert all(str(version) in caught.value.message for version in there)
    with pytest.raises(VersionNotFound, match="none"):
        read_version(tmp_path / "no table", 1)


def test_a_version_removed_while_it_is_read_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    wanted = table_versions(directory)[1].version

    def remove_first(*args: Any) -> Any:
        manifest_path(directory, wanted).unlink()
        raise OSError("Not found")

    monkeypatch.setattr(table_read, "_matching", remove_first)
    with pytest.raises(VersionNotFound):
        read_version(directory, wanted)


def test_a_filter_meets_payloads_and_limit_counts_what_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_read, "_BATCH_ROWS", 16)
    table = open_table(tmp_path)
    table.apply([writes(1, [(f"p{number:03d}", float(number)) for number in range(100)])], 100)
    directory = tmp_path / "table"
    version = table_versions(directory)[-1].version
    condition = And((Range(("value",), gte=40), Range(("value",), lt=90)))

    found = read_version(directory, version, columns=["seq", "id"], condition=condition)
    assert found.schema == pa.schema([table._schema.field("seq"), table._schema.field("id")])
    assert sorted(found["id"].to_pylist()) == [f"p{number:03d}" for number in range(40, 90)]
    assert read_version(directory, version, condition=condition, limit=7).num_rows == 7
    assert read_version(directory, version, limit=7).num_rows == 7
    assert read_version(directory, version, limit=0).num_rows == 0
    assert read_version(directory, version, condition=Eq(("value",), "' OR 1=1 --")).num_rows == 0
    whole = read_version(directory, version, condition=Eq(("value",), 41))
    assert whole.schema.names == table._schema.names
    assert whole["vector"].to_pylist() == [[41.0] * DIMENSION]


def test_a_filter_is_tested_on_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_read, "_BATCH_ROWS", 16)
    table = open_table(tmp_path)
    table.apply([writes(1, [(f"p{number}", 1.0) for number in range(100)])], 100)
    batches = table_read._matching(table._dataset, ["id"], Eq(("value",), 1), 20)
    # And no more than it takes.
    assert [batch.num_rows for batch in batches] == [16, 4]


def test_a_manifest_cut_short_or_of_zeros_from_anywhere_on_is_a_damaged_one(tmp_path: Path) -> None:
    """Lance panics over some."""
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    newest = version_numbers(directory)[0]
    path = manifest_path(directory, newest)
    whole = path.read_bytes()
    for length in range(len(whole)):
        for rest in (b"", bytes(len(whole) - length)):
            path.write_bytes(whole[:length] + rest)
            with pytest.raises(CorruptData):
                open_version(directory, newest)
    path.write_bytes(whole)
    assert open_version(directory, newest).count_rows()


def test_what_cannot_be_asked_of_a_version_is_refused(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    version = table_versions(directory)[-1].version
    with pytest.raises(InvalidRequest, match="no column 'id = 1'"):
        read_version(directory, version, columns=["id", "id = 1"])
    with pytest.raises(InvalidRequest, match="limit"):
        read_version(directory, version, limit=-1)
    with pytest.raises(InvalidRequest, match="time zone"):
        read_version(directory, datetime.now())  # noqa: DTZ005


def test_damage_of_a_past_version_is_told_without_file_names(tmp_path: Path) -> None:
    two_flushes(tmp_path)
    directory = tmp_path / "table"
    for file in (directory / "points.lance" / "data").iterdir():
        damage(file, "zeros")
    with pytest.raises(CorruptData) as caught:
        read_version(directory, table_versions(directory)[-1].version)
    assert os.sep not in caught.value.message
    assert ".lance" not in caught.value.message
