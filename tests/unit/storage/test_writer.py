"""What a shard's owner promises to its callers."""

import threading
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from storage import files
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered, let_others_run
from vectoray.core.errors import InternalError, Overloaded, ShardLocked, StorageFull, Unavailable
from vectoray.core.filters import Eq
from vectoray.core.model import FloatMatrix, IndexKind, IndexOptions, Metric, SearchQuery


def ids_of(writer: ShardWriter, query: SearchQuery) -> list[str]:
    return [hit.id for hit in writer.search(query)]


def one(vector: list[float]) -> FloatMatrix:
    return np.array([vector], dtype=np.float32)


def test_an_acknowledged_point_is_found_at_once(open_shard: OpenShard) -> None:
    writer = open_shard()
    vectors = clustered(3)
    assert writer.upsert(batch_of(["a", "b", "c"], vectors)).result().written == 3

    hit = writer.search(SearchQuery(vectors[1], top_k=1, include_vectors=True)).hits[0]

    assert (hit.id, hit.payload, hit.text) == ("b", b'{"n":1}', "b")
    assert hit.score == pytest.approx(1.0)
    assert hit.vector is not None
    assert np.array_equal(hit.vector, vectors[1])
    point = writer.get("b")
    assert point is not None
    assert np.array_equal(point.vector, vectors[1])


def test_a_second_upsert_replaces_the_first_wherever_the_first_lies(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["tail", "segment"], clustered(2))).result()
    writer.seal()
    new = clustered(2, seed=1)
    writer.upsert(batch_of(["tail", "segment"], new, b'{"n":2}')).result()
    writer.upsert(batch_of(["tail"], new[:1], b'{"n":3}')).result()

    assert writer.stats().points == 2
    point = writer.get("tail")
    assert point is not None
    assert point.payload == b'{"n":3}'
    hits = writer.search(SearchQuery(new[1], top_k=10)).hits
    assert sorted(hit.id for hit in hits) == ["segment", "tail"]
    assert {hit.payload for hit in hits} == {b'{"n":2}', b'{"n":3}'}


def test_rows_are_counted_until_a_merge_leaves_them_out_and_writes_for_ever(open_shard: OpenShard) -> None:
    def counted(writer: ShardWriter) -> tuple[int, int, int]:
        stats = writer.stats()
        return stats.points, stats.records, stats.writes

    writer = open_shard()
    assert counted(writer) == (0, 0, 0)
    writer.upsert(batch_of(["a", "b", "c"], clustered(3))).result()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.delete(["b", "absent"]).result()
    assert counted(writer) == (2, 4, 5)
    writer.seal()
    assert counted(writer) == (2, 2, 5)
    writer.upsert(batch_of(["a"], clustered(1))).result()
    assert counted(writer) == (2, 3, 6)
    writer.close()
    assert counted(open_shard()) == (2, 3, 6)


def test_the_last_of_two_equal_ids_in_one_batch_wins(open_shard: OpenShard) -> None:
    writer = open_shard()
    vectors = clustered(2)
    assert writer.upsert(batch_of(["a", "a"], vectors)).result().written == 2
    point = writer.get("a")
    assert point is not None
    assert np.array_equal(point.vector, vectors[1])
    assert writer.stats().points == 1


def test_delete_tells_which_ids_existed_and_hides_them_everywhere(open_shard: OpenShard) -> None:
    writer = open_shard()
    vectors = clustered(4)
    writer.upsert(batch_of(["a", "b"], vectors[:2])).result()
    writer.seal()
    writer.upsert(batch_of(["c", "d"], vectors[2:])).result()

    assert writer.delete(["a", "missing", "c", "a"]).result() == ["a", "c"]

    assert writer.get("a") is None
    assert writer.get("c") is None
    assert sorted(ids_of(writer, SearchQuery(vectors[0], top_k=10))) == ["b", "d"]
    assert writer.stats().points == 2


def test_a_delete_sees_writes_that_wait_in_the_same_group(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    release = threading.Event()
    append = writer._owned.log.append

    def held_append(records: object) -> None:
        release.wait(10)
        append(records)  # type: ignore[arg-type]

    monkeypatch.setattr(writer._owned.log, "append", held_append)
    vectors = clustered(2)
    first = writer.upsert(batch_of(["first"], vectors[:1]))
    upsert, deletes = (
        writer.upsert(batch_of(["x"], vectors[1:])),
        [writer.delete(["x"]), writer.delete(["x"])],
    )
    release.set()

    assert [first.result(10).written, upsert.result(10).written] == [1, 1]
    assert [delete.result(10) for delete in deletes] == [["x"], []]
    assert writer.get("x") is None


@pytest.mark.parametrize("metric", list(Metric))
def test_scores_follow_the_metric_in_tail_and_segment(open_shard: OpenShard, metric: Metric) -> None:
    writer = open_shard(metric=metric, dimension=2)
    writer.upsert(batch_of(["near", "far"], np.array([[3, 4], [-3, 4]], dtype=np.float32))).result()
    query = SearchQuery(np.array([6, 8], dtype=np.float32), top_k=2)
    expected = {
        Metric.COSINE: [("near", 1.0), ("far", 0.28)],
        Metric.DOT: [("near", 50.0), ("far", 14.0)],
        Metric.EUCLIDEAN: [("near", 1 / 6), ("far", 1 / (1 + np.sqrt(97)))],
    }[metric]

    for _ in ("tail", "segment"):
        hits = writer.search(query).hits
        assert [hit.id for hit in hits] == [name for name, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected])
        writer.seal()


def test_equal_scores_are_ordered_by_id_and_cut_in_that_order(open_shard: OpenShard) -> None:
    writer = open_shard(dimension=2)
    names = [f"p{number:02d}" for number in range(30)]
    vectors = np.tile(np.array([[1, 2]], dtype=np.float32), (30, 1))
    order = np.random.default_rng(3).permutation(30)
    writer.upsert(batch_of([names[at] for at in order[:15]], vectors[:15])).result()
    writer.seal()
    writer.upsert(batch_of([names[at] for at in order[15:]], vectors[15:])).result()

    assert ids_of(writer, SearchQuery(vectors[0], top_k=7)) == names[:7]


def test_score_threshold_and_filter_leave_only_what_meets_them(open_shard: OpenShard) -> None:
    writer = open_shard(dimension=2)
    writer.upsert(batch_of(["a"], one([1, 0]), b'{"kind":"x"}')).result()
    writer.seal()
    writer.upsert(batch_of(["b"], one([1, 0.1]), b'{"kind":"y"}')).result()
    writer.upsert(batch_of(["c"], one([-1, 0]), b'{"kind":"y"}')).result()
    query = np.array([1, 0], dtype=np.float32)

    assert ids_of(writer, SearchQuery(query, score_threshold=0.5)) == ["a", "b"]
    assert ids_of(writer, SearchQuery(query, filter=Eq(("kind",), "y"))) == ["b", "c"]
    assert ids_of(writer, SearchQuery(query, filter=Eq(("kind",), "y"), score_threshold=0.5)) == ["b"]


def test_values_whose_squares_overflow_float32_still_rank(open_shard: OpenShard) -> None:
    writer = open_shard(dimension=2)
    writer.upsert(
        batch_of(["huge", "tiny"], np.array([[3e38, 3e38], [1e-30, -1e-30]], dtype=np.float32))
    ).result()
    hits = writer.search(SearchQuery(np.array([1, 1], dtype=np.float32))).hits
    assert [hit.id for hit in hits] == ["huge", "tiny"]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_the_graph_finds_what_a_scan_finds_with_many_rows_deleted(open_shard: OpenShard) -> None:
    writer = open_shard(dimension=64)
    vectors, queries = np.split(clustered(6100, 64), [6000])
    names = [str(row) for row in range(6000)]
    writer.upsert(batch_of(names, vectors)).result()
    writer.seal()
    gone = set(range(0, 6000, 2))
    writer.delete([names[row] for row in sorted(gone)]).result()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    found = 0
    for query in queries:
        scores = unit @ (query / np.linalg.norm(query))
        scores[sorted(gone)] = -2
        expected = {names[row] for row in np.argsort(-scores)[:10]}
        answer = ids_of(writer, SearchQuery(query, top_k=10))
        assert len(answer) == 10
        found += len(expected & set(answer))
    assert found / 1000 >= 0.99


def test_flat_collections_are_searched_exactly(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard(index=IndexOptions(kind=IndexKind.FLAT))
    vectors = clustered(3000)
    writer.upsert(batch_of([str(row) for row in range(3000)], vectors)).result()
    writer.seal()
    assert not list((tmp_path / "shard" / "segments").rglob("*.usearch"))
    assert ids_of(writer, SearchQuery(vectors[1234], top_k=1)) == ["1234"]


def test_the_same_rows_and_seed_build_the_same_graph(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard(index=IndexOptions(seed=7))
    graphs = []
    for _ in range(2):
        writer.upsert(batch_of([str(row) for row in range(1500)], clustered(1500))).result()
        writer.optimize()
        newest = max((tmp_path / "shard" / "segments").iterdir())
        graphs.append((newest / "graph.usearch").read_bytes())
    assert graphs[0] == graphs[1]


def test_merging_keeps_every_live_point_and_forgets_dead_ones(open_shard: OpenShard) -> None:
    writer = open_shard(seal_rows=10, merge_factor=3)
    vectors = clustered(9)
    for row in range(9):
        writer.upsert(batch_of([str(row)], vectors[row : row + 1])).result()
        if row % 3 == 2:
            writer.seal()
    writer.delete(["4"]).result()
    assert writer.merge()
    assert not writer.merge()
    writer.upsert(batch_of(["5"], vectors[:1])).result()

    assert writer.stats().points == 8
    assert sorted(ids_of(writer, SearchQuery(vectors[0], top_k=20))) == [
        "0",
        "1",
        "2",
        "3",
        "5",
        "6",
        "7",
        "8",
    ]
    assert len(writer._view.head.segments) == 1


@pytest.mark.slow
def test_searches_during_seals_and_merges_never_miss_a_point(open_shard: OpenShard) -> None:
    writer = open_shard(seal_rows=20, merge_factor=2)
    vectors = clustered(50)
    names = [str(row) for row in range(50)]
    writer.upsert(batch_of(names, vectors)).result()
    done = threading.Event()
    wrong: list[object] = []
    looks = [0, 0]

    def look(looker: int) -> None:
        random = np.random.default_rng(looker)
        while not done.is_set():
            row = int(random.integers(0, 50))
            if writer.get(names[row]) is None:
                wrong.append(("get", row))
            found = ids_of(writer, SearchQuery(vectors[row], top_k=60))
            if sorted(found) != sorted(names):
                wrong.append(("search", len(found)))
            looks[looker] += 1
            let_others_run()

    threads = [threading.Thread(target=look, args=(looker,)) for looker in range(2)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(60):
            writer.upsert(batch_of(names, vectors, b'{"turn":%d}' % turn)).result()
            if turn % 3 == 0:
                writer.seal()
                writer.merge()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert all(looks)
    assert wrong == []


def test_the_table_holds_exactly_the_live_points_after_a_flush(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "it's", "c"], clustered(3))).result()
    writer.flush()
    writer.delete(["it's"]).result()
    writer.upsert(batch_of(["c", "d"], clustered(2, seed=1), b'{"n":2}')).result()
    writer.flush()

    rows = lancedb.connect(tmp_path / "shard" / "table").open_table("points").to_pandas().sort_values("id")
    assert rows["id"].tolist() == ["a", "c", "d"]
    assert rows["payload"].tolist() == ['{"n":1}', '{"n":2}', '{"n":2}']
    assert np.array_equal(np.stack(rows["vector"].tolist())[1:], clustered(2, seed=1))


def test_log_files_go_once_they_are_sealed_and_flushed(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    for number in range(5):
        writer.upsert(batch_of([str(number)], clustered(1))).result()
    log = tmp_path / "shard" / "log"
    writer.seal()
    assert len(list(log.iterdir())) == 5
    writer.flush()
    assert len(list(log.iterdir())) == 1


def test_a_second_owner_is_refused_and_told_who_holds_the_shard(open_shard: OpenShard) -> None:
    first = open_shard()
    with pytest.raises(ShardLocked, match=r"owned by process \d+"):
        open_shard()
    first.close()
    open_shard()


def test_a_full_disk_fails_the_write_changes_nothing_and_passes(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    write_durable = files.write_durable

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_durable", full)
    with pytest.raises(StorageFull, match="nothing was changed"):
        writer.upsert(batch_of(["b"], clustered(1))).result()
    with pytest.raises(StorageFull):
        writer.delete(["a"]).result()
    assert writer.get("a") is not None
    assert writer.get("b") is None

    monkeypatch.setattr(files, "write_durable", write_durable)
    writer.upsert(batch_of(["b"], clustered(1))).result()
    assert writer.stats().points == 2


@pytest.mark.parametrize("thread", ["shard-commit", "shard-maintenance", "shard-compaction"])
def test_a_shard_that_cannot_have_its_threads_is_left_to_whoever_comes_next(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_others(self: threading.Thread) -> None:
        if self.name == thread:
            raise RuntimeError("can't start new thread")
        start(self)
        started.append(self)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_others)
        with pytest.raises(RuntimeError, match="new thread"):
            open_shard()
    for other in started:
        other.join(10)
    assert not any(other.is_alive() for other in started)
    writer = open_shard()
    assert writer.upsert(batch_of(["a"], clustered(1))).result().written == 1


def test_an_error_of_the_disk_names_no_path(open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_shard()

    def broken(path: Path, data: bytes) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(files, "write_durable", broken)
    with pytest.raises(InternalError) as caught:
        writer.upsert(batch_of(["b"], clustered(1))).result()
    assert caught.value.message == "The disk failed while writing a batch (Input/output error)."


def test_writes_beyond_the_queue_are_refused_as_overload(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard(max_pending_bytes=2**20)
    release = threading.Event()
    append = writer._owned.log.append
    monkeypatch.setattr(writer._owned.log, "append", lambda records: (release.wait(10), append(records)))
    large = batch_of([str(row) for row in range(8192)], clustered(8192))
    accepted = [writer.upsert(large)]
    with pytest.raises(Overloaded):
        accepted += [writer.upsert(large) for _ in range(10)]
    release.set()
    assert all(future.result(10).written == 8192 for future in accepted)


def test_a_closed_shard_takes_no_more_writes(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.close()
    with pytest.raises(Unavailable):
        writer.upsert(batch_of(["a"], clustered(1)))


def test_concurrent_writers_share_files_and_lose_nothing(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()

    def write(thread: int) -> None:
        for number in range(25):
            writer.upsert(batch_of([f"{thread}-{number}"], clustered(1))).result()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.stats().points == 400
    assert all(writer.get(f"{thread}-{number}") for thread in range(16) for number in range(25))
    assert len(list((tmp_path / "shard" / "log").iterdir())) < 400


def test_the_maintenance_thread_seals_flushes_and_merges_by_itself(open_shard: OpenShard) -> None:
    writer = open_shard(seal_rows=50, flush_rows=50, merge_factor=2, merges=True)
    merged, flushed = threading.Event(), threading.Event()
    merge, flush = writer._merger.merge, writer.flush

    def note_merge(**options: Any) -> bool:
        done = merge(**options)
        if done:
            merged.set()
        return done

    def note_flush() -> None:
        flush()
        flushed.set()

    writer._merger.merge = note_merge  # type: ignore[method-assign]
    writer.flush = note_flush  # type: ignore[method-assign]
    for number in range(40):
        writer.upsert(batch_of([f"{number}-{row}" for row in range(10)], clustered(10))).result()
    assert merged.wait(30)
    assert flushed.wait(30)
    assert writer._owned.manifest.flushed_seq >= 50
    assert writer.stats().points == 400
    assert len(ids_of(writer, SearchQuery(clustered(1)[0], top_k=400))) == 400
