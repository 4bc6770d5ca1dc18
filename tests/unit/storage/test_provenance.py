"""Where points come from, and since when: kept through everything that happens to a shard."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from storage import adoption, changes, files
from storage.bulk import write_fragment
from storage.reader import ShardReader
from storage.table_read import read_version
from storage.table_versions import table_versions
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, clustered
from vectoray.core.errors import CorruptData, InvalidRequest, LimitExceeded
from vectoray.core.filters import And, Eq, Filter, Not, SourceIs
from vectoray.core.model import Point, PointBatch, SearchQuery, WriteMode

LONGEST = "é" * 512


class Clock:
    """What the owner of a shard takes for the time."""

    now_ms = 1_000

    def time_ns(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (changes, adoption):
        monkeypatch.setattr(module, "time_ns", clock.time_ns)
    return clock


def batch(
    ids: list[str],
    sources: list[str | None] | None = None,
    chunk_indexes: list[int | None] | None = None,
    payload: bytes = b"{}",
) -> PointBatch:
    rows = len(ids)
    return PointBatch(ids, clustered(rows), [payload] * rows, [None] * rows, sources, chunk_indexes)


def point_of(writer: ShardWriter, point_id: str) -> Point:
    point = writer.get(point_id)
    assert point is not None
    return point


def origin_of(writer: ShardWriter, point_id: str) -> tuple[str | None, int | None, int]:
    point = point_of(writer, point_id)
    return point.source, point.chunk_index, point.created_ms


def test_a_point_keeps_its_source_and_chunk_wherever_it_lies(open_shard: OpenShard, clock: Clock) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b", "c"], [LONGEST, "", None], [0, 2**31 - 1, None])).result()
    writer.upsert(batch(["d"])).result()
    expected = {
        "a": (LONGEST, 0, 1_000),
        "b": ("", 2**31 - 1, 1_000),
        "c": (None, None, 1_000),
        "d": (None, None, 1_000),
    }
    assert {name: origin_of(writer, name) for name in expected} == expected
    writer.seal()
    assert {name: origin_of(writer, name) for name in expected} == expected
    writer.optimize()
    writer.close()
    clock.now_ms += 1
    reopened = open_shard()
    assert {name: origin_of(reopened, name) for name in expected} == expected


def test_a_write_replaces_source_and_chunk_and_keeps_the_time(open_shard: OpenShard, clock: Clock) -> None:
    writer = open_shard()
    writer.upsert(batch(["a"], ["old.md"], [1])).result()
    clock.now_ms = 2_000
    writer.write(batch(["a", "b"], ["new.md", "new.md"], [None, 7])).result()
    assert origin_of(writer, "a") == ("new.md", None, 1_000)
    assert origin_of(writer, "b") == ("new.md", 7, 2_000)
    assert point_of(writer, "a").updated_ms == 2_000
    writer.seal()
    clock.now_ms = 3_000
    writer.write(batch(["a"]), WriteMode.UPDATE).result()
    assert origin_of(writer, "a") == (None, None, 1_000)


@pytest.mark.parametrize("sealed", [False, True])
def test_an_id_that_was_deleted_and_comes_again_is_new(
    open_shard: OpenShard,
    clock: Clock,
    sealed: bool,  # noqa: FBT001
) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b"])).result()
    if sealed:
        writer.seal()
    clock.now_ms = 2_000
    writer.delete(["a"]).result()
    clock.now_ms = 3_000
    writer.upsert(batch(["a", "b"])).result()
    assert [point_of(writer, name).created_ms for name in "ab"] == [3_000, 1_000]


def test_writes_of_one_group_follow_one_another(open_shard: OpenShard, clock: Clock) -> None:
    writer = open_shard()
    writer.upsert(batch(["kept", "gone"])).result()
    clock.now_ms = 2_000
    with writer.hold():
        # What waits here is committed together.
        waiting: list[Future[Any]] = [
            writer.upsert(batch(["kept", "new", "new"])),
            writer.delete(["gone"]),
            writer.upsert(batch(["gone", "kept"])),
            writer.delete(["new"]),
        ]
    for done in waiting:
        done.result(10)
    assert [point_of(writer, name).created_ms for name in ("kept", "gone")] == [1_000, 2_000]
    assert writer.get("new") is None


def test_the_log_says_when_an_id_was_made_and_replaying_it_asks_no_clock(
    open_shard: OpenShard, clock: Clock
) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "a", "b"], ["x", "y", "x"])).result()
    clock.now_ms = 2_000
    writer.upsert(batch(["a"], ["z"])).result()
    writer.close(flush=False)
    clock.now_ms = 9_000
    reopened = open_shard()
    assert origin_of(reopened, "a") == ("z", None, 1_000)
    assert origin_of(reopened, "b") == ("x", None, 1_000)


def test_a_rebuild_from_the_table_brings_back_everything(
    open_shard: OpenShard, clock: Clock, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b"], ["x", None], [3, None])).result()
    writer.flush()
    clock.now_ms = 2_000
    writer.upsert(batch(["b", "c"], ["y", "y"], [4, 5])).result()
    writer.seal()
    writer.close(flush=False)
    for path in (tmp_path / "shard" / "segments").glob("*/rows.arrow"):
        path.unlink()
    clock.now_ms = 9_000
    reopened = open_shard()
    assert origin_of(reopened, "a") == ("x", 3, 1_000)
    assert origin_of(reopened, "b") == ("y", 4, 1_000)
    assert origin_of(reopened, "c") == ("y", 5, 2_000)


def test_a_bulk_load_keeps_the_time_of_what_it_replaces(
    open_shard: OpenShard, clock: Clock, tmp_path: Path
) -> None:
    writer = open_shard()
    directory = tmp_path / "shard"
    writer.upsert(batch(["sealed", "gone"])).result()
    writer.seal()
    writer.upsert(batch(["tail"])).result()
    writer.delete(["gone"]).result()
    fragments = [
        write_fragment(directory, "job", "p", batch(["new", "sealed", "tail", "gone"], ["old"] * 4)),
        write_fragment(directory, "job", "p", batch(["tail", "new"], ["load.md"] * 2, [0, 1])),
    ]
    clock.now_ms = 2_000
    assert writer.commit_fragments("job", "p", fragments)
    expected = {
        "sealed": ("old", None, 1_000),
        "tail": ("load.md", 0, 1_000),
        "new": ("load.md", 1, 2_000),
        "gone": ("old", None, 2_000),
    }
    assert {name: origin_of(writer, name) for name in expected} == expected
    writer.close()
    reopened = open_shard()
    assert {name: origin_of(reopened, name) for name in expected} == expected


def test_a_filter_by_source_finds_rows_in_segments_and_in_the_tail(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    reader = ShardReader(tmp_path / "shard")
    writer.upsert(batch(["a", "b", "c"], ["x", "y", None], payload=b'{"n":1}')).result()
    writer.seal()
    writer.upsert(batch(["d", "e", "f"], ["x", "xy", None], payload=b'{"n":2}')).result()
    asked: dict[Filter, set[str]] = {
        SourceIs("x"): {"a", "d"},
        SourceIs("absent"): set(),
        And((SourceIs("x"), Eq(("n",), 2))): {"d"},
        Not(SourceIs("x")): {"b", "c", "e", "f"},
    }
    vector = np.ones(writer.spec.dimension, dtype=np.float32)
    for condition, expected in asked.items():
        for searched in (writer, reader):
            hits = searched.search(SearchQuery(vector, filter=condition))
            assert {hit.id for hit in hits} == expected
    reader.close()


def test_all_points_of_a_source_are_deleted_at_once(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b", "c"], ["x", "y", "x"])).result()
    writer.seal()
    writer.upsert(batch(["d", "a"], ["x", "y"])).result()
    assert sorted(writer.delete_matching(SourceIs("x")).result()) == ["c", "d"]
    assert [name for name in "abcd" if writer.get(name)] == ["a", "b"]


def test_other_programs_find_ordinary_columns_in_the_table(
    open_shard: OpenShard, clock: Clock, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b"], ["x", None], [0, None])).result()
    clock.now_ms = 2_000
    writer.upsert(batch(["a"], ["x"], [1])).result()
    writer.flush()
    table = lancedb.connect(tmp_path / "shard" / "table").open_table("points").to_arrow()
    found = table.select(["id", "source", "chunk_index", "created_ms"]).sort_by("id").to_pylist()
    assert found == [
        {"id": "a", "source": "x", "chunk_index": 1, "created_ms": 1_000},
        {"id": "b", "source": None, "chunk_index": None, "created_ms": 1_000},
    ]


def test_past_versions_of_the_table_are_read_by_source(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    writer.upsert(batch(["a", "b", "c"], ["x", "y", None])).result()
    writer.flush()
    directory = tmp_path / "shard" / "table"
    version = table_versions(directory)[-1].version
    found = read_version(directory, version, columns=["id"], condition=SourceIs("y"))
    assert found.to_pydict() == {"id": ["b"]}
    nothing = read_version(directory, version, condition=SourceIs("y' OR source = 'x"))
    assert nothing.num_rows == 0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (batch(["a"], [LONGEST + "e"]), LimitExceeded),
        (batch(["a"], ["\ud800"]), InvalidRequest),
        (batch(["a"], None, [-1]), InvalidRequest),
        (batch(["a"], None, [2**31]), InvalidRequest),
    ],
    ids=["long", "no-unicode", "below-zero", "too-large"],
)
def test_what_the_columns_cannot_hold_is_refused_and_nothing_is_written(
    open_shard: OpenShard, bad: PointBatch, error: type[Exception]
) -> None:
    writer = open_shard()
    with pytest.raises(error):
        writer.upsert(bad)
    assert writer.stats().points == 0


def test_a_shard_of_an_older_format_is_refused_and_left_as_it_is(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    open_shard().close()
    path = tmp_path / "shard" / "shard.json"
    files.write_json_durable(path, {**files.read_json(path), "format": 1})
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(CorruptData, match="a format that this version does not read"):
        ShardReader(tmp_path / "shard")
    with pytest.raises(CorruptData, match="a format that this version does not read"):
        open_shard()
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
