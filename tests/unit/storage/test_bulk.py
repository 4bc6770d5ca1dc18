"""Bulk loads: each part of a job becomes visible once and as a whole, whatever is repeated or cut short."""

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import adoption, bulk, owned_shard
from storage.bulk import write_fragment
from storage.reader import ShardReader
from storage.segment_files import adopt_segment
from storage.table import PointTable
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_disk_failures import table_ids
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import CorruptData, DimensionMismatch, InternalError, InvalidRequest
from vectoray.core.model import PointBatch, SearchQuery

OLD, NEW, NEWER = b'{"n":1}', b'{"n":2}', b'{"n":3}'


def named(prefix: str, rows: int) -> list[str]:
    return [f"{prefix}{row:04d}" for row in range(rows)]


def fragment(directory: Path, part: str, ids: list[str], payload: bytes = NEW, *, seed: int = 0) -> Path:
    return write_fragment(directory, "job", part, batch_of(ids, clustered(len(ids), seed=seed), payload))


def payload_of(writer: ShardWriter, point_id: str) -> bytes | None:
    point = writer.get(point_id)
    return None if point is None else point.payload


def test_a_part_is_found_at_once_by_every_kind_of_read(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["before"], clustered(1, seed=9))).result()
    reader = ShardReader(tmp_path / "shard")
    assert reader.count() == 1
    vectors = clustered(1500)
    ids = named("b", 1500)
    part = write_fragment(tmp_path / "shard", "job", "0", PointBatch(ids, vectors, [NEW] * 1500, ids))

    assert writer.commit_fragments("job", "0", [part])

    for view in (writer, reader):
        assert view.search(SearchQuery(vectors[7], top_k=1)).hits[0].id == "b0007"
        point = view.get("b0007")
        assert point is not None
        assert (point.payload, point.text, point.seq) == (NEW, "b0007", 9)
        assert np.array_equal(point.vector, vectors[7])
    assert writer.stats().points == reader.count() == 1501
    assert writer.stats().last_write_ms > 0
    reader.close()


def test_a_part_that_is_committed_again_changes_nothing(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    again = [fragment(tmp_path / "shard", "p", ["a", "b"]) for _ in range(3)]
    assert writer.commit_fragments("job", "p", again[:1])
    writer.upsert(batch_of(["a"], clustered(1), NEWER)).result()
    writer.delete(["b"]).result()
    assert not writer.commit_fragments("job", "p", again[1:2])
    writer.close(flush=True)
    reopened = open_shard()
    assert not reopened.commit_fragments("job", "p", again[2:])
    assert (payload_of(reopened, "a"), payload_of(reopened, "b")) == (NEWER, None)
    assert reopened.commit_fragments("job", "q", [fragment(tmp_path / "shard", "q", ["b"])])
    assert all_ids(reopened) == ["a", "b"]


def test_rows_replace_what_was_acknowledged_before_and_are_replaced_by_what_comes_after(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["sealed", "kept"], clustered(2), OLD)).result()
    writer.seal()
    writer.upsert(batch_of(["tail"], clustered(1), OLD)).result()
    part = fragment(tmp_path / "shard", "p", ["sealed", "tail", "later", "gone"])
    assert writer.commit_fragments("job", "p", [part])
    writer.upsert(batch_of(["later"], clustered(1), NEWER)).result()
    writer.delete(["gone"]).result()
    expected = {"sealed": NEW, "kept": OLD, "tail": NEW, "later": NEWER, "gone": None}
    assert {name: payload_of(writer, name) for name in expected} == expected
    assert writer.stats().points == 4
    writer.close(flush=False)
    reopened = open_shard()
    assert {name: payload_of(reopened, name) for name in expected} == expected
    reopened.flush()
    assert table_ids(reopened) == ["kept", "later", "sealed", "tail"]
    reopened.optimize()
    assert {name: payload_of(reopened, name) for name in expected} == expected


def test_of_an_id_in_several_rows_and_fragments_the_last_counts(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    ids = ["a", "b", "a"]
    first = write_fragment(
        tmp_path / "shard", "job", "p", PointBatch(ids, clustered(3), [OLD, OLD, NEW], [None] * 3)
    )
    second = fragment(tmp_path / "shard", "p", ["b", "c"], NEWER)
    assert writer.commit_fragments("job", "p", [first, second])
    assert [payload_of(writer, name) for name in "abc"] == [NEW, NEWER, NEWER]
    assert all_ids(writer) == ["a", "b", "c"]
    writer.flush()
    assert table_ids(writer) == ["a", "b", "c"]


@pytest.mark.parametrize("gone", ["fragment", "graph.usearch", "rows.arrow"])
def test_a_fragment_that_is_not_whole_is_refused_and_nothing_changes(
    open_shard: OpenShard, tmp_path: Path, gone: str
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1), OLD)).result()
    whole = fragment(tmp_path / "shard", "p", ["a", "b"])
    broken = fragment(tmp_path / "shard", "p", named("x", 1100))
    shutil.rmtree(broken) if gone == "fragment" else (broken / gone).unlink()
    with pytest.raises(CorruptData):
        writer.commit_fragments("job", "p", [whole, broken])
    assert all_ids(writer) == ["a"]
    assert payload_of(writer, "a") == OLD
    assert len(list((tmp_path / "shard" / "segments").iterdir())) == 1
    assert writer.commit_fragments("job", "p", [whole])
    assert payload_of(writer, "a") == NEW


def test_a_commit_that_the_disk_refuses_changes_nothing_and_can_be_repeated(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1), OLD)).result()
    part = fragment(tmp_path / "shard", "p", ["a", "b"])

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(owned_shard, "publish_manifest", fail)
        with pytest.raises(InternalError):
            writer.commit_fragments("job", "p", [part])
    assert payload_of(writer, "a") == OLD
    writer.upsert(batch_of(["c"], clustered(1), OLD)).result()
    assert all_ids(writer) == ["a", "c"]
    assert writer.commit_fragments("job", "p", [part])
    assert payload_of(writer, "a") == NEW


def test_a_commit_that_is_cut_short_before_the_manifest_is_as_if_it_had_not_begun(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1), OLD)).result()
    part = fragment(tmp_path / "shard", "p", ["a", "b"])
    copy = tmp_path / "copy"

    def crash(*_: object) -> None:
        shutil.copytree(tmp_path / "shard", copy, ignore=shutil.ignore_patterns("LOCK"))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(owned_shard, "publish_manifest", crash)
    with pytest.raises(InternalError):
        writer.commit_fragments("job", "p", [part])
    monkeypatch.undo()
    writer.close(flush=False)
    shutil.rmtree(tmp_path / "shard")
    copy.rename(tmp_path / "shard")
    reopened = open_shard()
    assert all_ids(reopened) == ["a"]
    assert reopened.commit_fragments("job", "p", [part])
    assert all_ids(reopened) == ["a", "b"]


def test_the_table_gets_bulk_rows_in_their_place_among_logged_writes(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b", "c"], clustered(3), OLD)).result()
    writer.flush()
    writer.upsert(batch_of(["a"], clustered(1), NEW)).result()
    assert writer.commit_fragments("job", "p", [fragment(tmp_path / "shard", "p", ["b", "d"], NEW)])
    writer.upsert(batch_of(["d"], clustered(1), NEWER)).result()
    assert writer.commit_fragments("job", "q", [fragment(tmp_path / "shard", "q", ["c", "e"], NEW)])
    writer.delete(["e"]).result()
    with monkeypatch.context() as patched:
        patched.setattr(PointTable, "rewrite", None)
        writer.flush()
    rows = writer._flusher.table.read_all()
    found = dict(zip(rows.ids, rows.payloads, strict=True))
    assert found == {"a": NEW, "b": NEW, "c": NEW, "d": NEWER}
    assert writer._owned.manifest.adopted == ()
    assert writer._owned.manifest.flushed_seq == writer._owned.manifest.sealed_seq + 1 == 10


@pytest.mark.usefixtures("small_graphs")
def test_bulk_rows_reach_the_table_though_they_were_merged_before(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    for part in "pqr":
        ids = named(part, 110)
        assert writer.commit_fragments("job", part, [fragment(tmp_path / "shard", part, ids)])
        writer.delete(ids[:70]).result()
    writer.optimize()
    assert len(writer._view.head.segments) == 1
    writer.flush()
    assert table_ids(writer) == all_ids(writer)
    assert len(all_ids(writer)) == 120


def test_writes_wait_while_a_part_is_committed_and_none_is_lost(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    part = fragment(tmp_path / "shard", "p", ["a"])
    waiting = []

    def write_meanwhile(*given: Any, **options: Any) -> None:
        waiting.append(writer.upsert(batch_of(["a"], clustered(1), NEWER)))
        adopt_segment(*given, **options)

    monkeypatch.setattr(adoption, "adopt_segment", write_meanwhile)
    assert writer.commit_fragments("job", "p", [part])
    waiting[0].result(10)
    assert payload_of(writer, "a") == NEWER
    writer.close(flush=False)
    assert payload_of(open_shard(), "a") == NEWER


def test_a_forgotten_job_leaves_nothing_and_may_begin_again(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    fragment(tmp_path / "shard", "abandoned", ["x"])
    assert writer.commit_fragments("job", "p", [fragment(tmp_path / "shard", "p", ["a"])])
    assert writer.commit_fragments(
        "other", "p", [write_fragment(tmp_path / "shard", "other", "p", batch_of(["b"], clustered(1)))]
    )
    writer.forget_job("job")
    assert not list((tmp_path / "shard" / "bulk").rglob("*.arrow"))
    assert writer.commit_fragments("job", "p", [fragment(tmp_path / "shard", "p", ["c"])])
    assert not writer.commit_fragments("other", "p", [])
    assert all_ids(writer) == ["a", "b", "c"]


def test_fragments_that_do_not_fit_are_refused_when_they_are_written(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    open_shard()
    vectors: list[Any] = [np.ones((1, 3), np.float32), np.ones((1, 16), np.float64)]
    for wrong in vectors:
        with pytest.raises(DimensionMismatch):
            write_fragment(tmp_path / "shard", "job", "p", PointBatch(["a"], wrong, [b"{}"], [None]))
    for batch in (batch_of([], clustered(0)), batch_of(["\ud800"], clustered(1))):
        with pytest.raises(InvalidRequest):
            write_fragment(tmp_path / "shard", "job", "p", batch)
    assert not (tmp_path / "shard" / bulk.BULK).exists()


def test_files_of_a_fragment_are_linked_not_copied(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    part = fragment(tmp_path / "shard", "p", named("a", 1100))
    graph = (part / "graph.usearch").stat().st_ino
    assert writer.commit_fragments("job", "p", [part])
    assert not part.exists()
    (adopted,) = (tmp_path / "shard" / "segments").rglob("graph.usearch")
    assert adopted.stat().st_ino == graph
