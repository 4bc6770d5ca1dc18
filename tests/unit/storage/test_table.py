"""The table of a shard: what flushes leave in it, for us and for anything else that reads Lance."""

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import lance
import lancedb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import table as table_module
from storage import table_rows
from storage.table import PointTable
from storage.table_rows import table_schema
from storage.table_versions import table_versions
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.tables import DIMENSION, State, open_table, records, rows_of, state_of, writes
from vectoray.core.errors import CorruptData, ShardLocked, Unavailable


def dataset_of(shard: Path) -> Any:
    return lance.dataset(str(shard / "table" / "points.lance"))


# What is in it.


def test_the_last_write_of_each_id_decides_within_a_flush_and_between_flushes(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.apply([writes(1, [("a", 1.0), ("b", 1.0), ("a", 2.0), ("c", 1.0), ("c", None)])], 5)
    assert state_of(table.read_all()) == {"a": 2.0, "b": 1.0}
    table.apply(
        [writes(6, [("a", None), ("b", 3.0)]), writes(8, [("a", 4.0), ("c", 5.0), ("gone", None)])], 10
    )
    assert state_of(table.read_all()) == {"a": 4.0, "b": 3.0, "c": 5.0}
    assert dict(
        zip(*[dataset_of(tmp_path).to_table()[name].to_pylist() for name in ("id", "seq")], strict=True)
    ) == {
        "a": 8,
        "b": 7,
        "c": 9,
    }
    assert table.flushed_seq == 10


def test_a_flush_of_deletes_alone_changes_only_what_they_name(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.apply([records(1, a=1.0, b=2.0)], 2)
    table.apply([records(3, a=None)], 3)
    assert state_of(table.read_all()) == {"b": 2.0}
    table.apply([records(4, never_there=None)], 4)
    assert (state_of(table.read_all()), table.flushed_seq) == ({"b": 2.0}, 4)


def test_ids_that_look_like_queries_are_only_ids(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    names = ["' OR 1=1 --", 'a"b', "a'b", "%", "é\n", "\x00"]
    table.apply([writes(1, [(name, 1.0) for name in names])], len(names))
    table.apply([writes(7, [(names[0], None)])], 7)
    assert state_of(table.read_all()) == dict.fromkeys(names[1:], 1.0)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    flushes=st.lists(
        st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 99).map(float)), min_size=1),
        min_size=1,
        max_size=4,
    )
)
def test_the_table_holds_exactly_the_live_points_after_any_writes(
    tmp_path_factory: pytest.TempPathFactory, flushes: list[list[tuple[str, float | None]]]
) -> None:
    table = open_table(tmp_path_factory.mktemp("shard"))
    expected: State = {}
    seq = 1
    for flush in flushes:
        table.apply([writes(seq, flush)], seq + len(flush) - 1)
        seq += len(flush)
        for point_id, value in flush:
            expected.pop(point_id, None)
            if value is not None:
                expected[point_id] = value
        assert state_of(table.read_all()) == expected


def test_rows_keep_their_stable_row_id_when_they_are_overwritten_and_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row_ids() -> dict[str, int]:
        rows = dataset_of(tmp_path).to_table(columns=["id"], with_row_id=True)
        return dict(zip(rows["id"].to_pylist(), rows["_rowid"].to_pylist(), strict=True))

    table = open_table(tmp_path)
    table.apply([records(1, a=1.0, b=1.0, c=1.0)], 3)
    before = row_ids()
    table.apply([records(4, b=2.0, c=None)], 5)
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    table.tidy()
    assert len(dataset_of(tmp_path).get_fragments()) == 1
    assert row_ids() == {name: before[name] for name in "ab"}


def test_what_was_written_anew_replaces_everything_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "_BATCH_ROWS", 3)
    table = open_table(tmp_path)
    table.apply([records(1, old=1.0)], 1)
    state = {str(number): float(number) for number in range(10)}
    table.rewrite(rows_of(state, 9), 9)
    assert (state_of(table.read_all()), table.flushed_seq) == (state, 9)
    assert dataset_of(tmp_path).has_stable_row_ids
    table.rewrite(rows_of({}, 10), 10)
    assert (state_of(table.read_all()), table.flushed_seq) == ({}, 10)
    assert state_of(open_table(tmp_path).read_all()) == {}


# What others see.


def test_plain_readers_see_exactly_the_live_points(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.apply([records(1, a=1.0, b=2.0, c=3.0)], 3)
    table.apply([records(4, b=5.0, c=None, d=6.0)], 6)
    expected = {"a": 1.0, "b": 5.0, "d": 6.0}

    dataset = dataset_of(tmp_path)
    assert dataset.schema.equals(table_schema(DIMENSION), check_metadata=True)
    assert dataset.has_stable_row_ids
    frame = lancedb.connect(tmp_path / "table").open_table("points").to_pandas().set_index("id")
    assert {name: float(vector[0]) for name, vector in frame["vector"].items()} == expected
    assert frame["text"].to_dict() == {name: f"text of {name}" for name in expected}
    assert frame["seq"].to_dict() == {"a": 1, "b": 4, "d": 6}
    with duckdb.connect() as connection:
        connection.register("points", dataset)
        found = connection.execute(
            "SELECT id, vector[1], CAST(payload::JSON->>'value' AS DOUBLE) FROM points ORDER BY id"
        ).fetchall()
    assert found == [(name, value, value) for name, value in expected.items()]


def test_lancedb_searches_the_table_by_vector(tmp_path: Path) -> None:
    open_table(tmp_path).apply([records(1, a=1.0, b=2.0, c=3.0)], 3)
    points = lancedb.connect(tmp_path / "table").open_table("points")
    found = points.search(np.full(DIMENSION, 2.9, np.float32)).limit(2).to_list()
    assert [row["id"] for row in found] == ["c", "b"]


# Its owner.


def test_an_owner_with_a_lower_epoch_than_the_tables_is_refused(tmp_path: Path) -> None:
    open_table(tmp_path, epoch=7)
    with pytest.raises(ShardLocked, match="owner 7"):
        open_table(tmp_path, epoch=6)
    open_table(tmp_path, epoch=7)
    open_table(tmp_path, epoch=8)
    assert dataset_of(tmp_path).config()["vectoray.owner_epoch"] == "8"


@pytest.mark.parametrize("change", ["apply", "rewrite", "tidy"])
def test_an_owner_that_lost_the_table_changes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    earlier = open_table(tmp_path, epoch=1)
    earlier.apply([records(1, a=1.0)], 1)
    later = open_table(tmp_path, epoch=2)
    version = later._dataset.version
    changes = {
        "apply": lambda: earlier.apply([records(2, stale=1.0)], 2),
        "rewrite": lambda: earlier.rewrite(rows_of({"stale": 1.0}, 2), 2),
        "tidy": earlier.tidy,
    }
    for _ in range(2):
        with pytest.raises(ShardLocked, match="taken over by owner 2; this is owner 1"):
            changes[change]()
    assert dataset_of(tmp_path).version == version
    later.apply([records(2, b=2.0)], 2)
    assert state_of(later.read_all()) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("step", ["commit", "update_config"])
def test_an_owner_that_loses_the_table_while_it_writes_cannot_say_that_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    earlier = open_table(tmp_path, epoch=1)
    earlier.apply([records(1, a=1.0)], 1)
    later: list[PointTable] = []
    original = getattr(lance.LanceDataset, step)

    def lose_it(*args: Any, **options: Any) -> Any:
        if not later:
            later.append(PointTable.__new__(PointTable))
            later[0].__init__(tmp_path / "table", DIMENSION, epoch=2, keep_versions_s=600.0)  # type: ignore[misc]
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(
            lance.LanceDataset, step, lose_it if step == "update_config" else staticmethod(lose_it)
        )
        with pytest.raises(ShardLocked):
            earlier.apply([records(2, a=2.0)], 2)
    assert later[0].flushed_seq == 1
    # What the other one did meanwhile is not built upon.
    later[0].rewrite(rows_of({"a": 1.0}, 1), 1)
    assert state_of(open_table(tmp_path, epoch=3).read_all()) == {"a": 1.0}


def test_what_a_former_owner_wrote_after_it_lost_the_table_is_written_anew(tmp_path: Path) -> None:
    table = open_table(tmp_path, epoch=2)
    table.apply([records(1, a=1.0)], 1)
    dataset_of(tmp_path).delete("id = 'a'")
    with pytest.raises(CorruptData, match="in doubt"):
        table.apply([records(2, b=2.0)], 2)
    assert not table.is_sound
    table.rewrite(rows_of({"a": 1.0, "b": 2.0}, 2), 2)
    table.apply([records(3, c=3.0)], 3)
    assert state_of(table.read_all()) == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_a_shard_that_lost_its_table_to_a_later_owner_acknowledges_nothing_more(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard(dimension=DIMENSION)
    writer.upsert(batch_of(["a"], clustered(1, DIMENSION))).result()
    writer.flush()
    later = open_table(tmp_path / "shard", epoch=5)
    writer.upsert(batch_of(["b"], clustered(1, DIMENSION))).result()
    with pytest.raises(ShardLocked):
        writer.flush()
    assert writer.broken
    with pytest.raises(Unavailable):
        writer.upsert(batch_of(["c"], clustered(1, DIMENSION))).result()
    assert later._dataset.latest_version == later._dataset.version


# Tidying up.


def test_small_files_are_merged_and_old_versions_forgotten_only_when_many_have_piled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 12)
    table = open_table(tmp_path, keep_versions_s=0)
    for seq in range(1, 5):
        table.apply([writes(seq, [(f"p{seq}", 1.0)])], seq)
        table.tidy()
    assert len(dataset_of(tmp_path).get_fragments()) == 4
    for seq in range(5, 7):
        table.apply([writes(seq, [(f"p{seq}", 1.0)])], seq)
    table.tidy()
    assert len(dataset_of(tmp_path).get_fragments()) == 1
    # What remains is the compacted version, and it can be read back.
    newest = dataset_of(tmp_path).version
    assert [each.version for each in table_versions(tmp_path / "table")] == [newest]
    assert table.flushed_seq == 6
    assert set(state_of(table.read_all())) == {f"p{seq}" for seq in range(1, 7)}


def test_versions_that_short_lived_owners_left_are_tidied_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 12)
    for seq in range(1, 8):
        table = open_table(tmp_path, keep_versions_s=0)
        table.apply([writes(seq, [(f"p{seq}", 1.0)])], seq)
        table.tidy()
    assert len(dataset_of(tmp_path).get_fragments()) < 4


def test_a_version_that_was_the_newest_within_the_time_to_keep_is_kept_however_old_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr("storage.table_versions.time.time_ns", lambda: int(now[0] * 1e9))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(now[0], tz)

    monkeypatch.setattr(table_module, "datetime", Clock)
    monkeypatch.setattr(table_module, "_TIDY_VERSIONS", 1)
    table = open_table(tmp_path, keep_versions_s=600)
    for seq, at in ((1, 1_100.0), (2, 1_200.0), (3, 5_000.0)):
        now[0] = at
        table.apply([records(seq, a=float(seq))], seq)
    now[0] = 5_100.0
    table.tidy()
    # Write 2 was the newest until a hundred seconds ago.
    assert {each.flushed_seq for each in table_versions(tmp_path / "table")} == {2, 3}
    now[0] = 5_700.0
    table.apply([records(4, a=4.0)], 4)
    table.tidy()
    assert {each.flushed_seq for each in table_versions(tmp_path / "table")} == {3, 4}
