"""What other processes of the node see of a shard."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.reader import ShardReader
from storage.shard import COUNTER, ShardSpec, create_shard
from storage.view import ShardView
from tests.unit.storage.conftest import OpenShard, batch_of, clustered, let_others_run
from vectoray.core.errors import ShardUnavailable
from vectoray.core.hybrid import HybridQuery
from vectoray.core.model import IndexOptions, Metric, SearchQuery


def test_a_reader_sees_every_write_acknowledged_before_it_looks(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    reader = ShardReader(tmp_path / "shard")
    for number in range(30):
        vectors = clustered(1, seed=number)
        writer.upsert(batch_of([f"p{number}"], vectors)).result()
        if number % 7 == 3:
            writer.seal()
            writer.flush()
        assert reader.count() == number + 1
        assert reader.search(SearchQuery(vectors[0], top_k=1)).hits[0].id == f"p{number}"
    writer.delete(["p3"]).result()
    assert reader.get("p3") is None
    assert reader.get("p4") is not None
    reader.close()


WAYS_TO_READ: dict[str, Callable[[ShardReader], int]] = {
    "count": ShardReader.count,
    "get": lambda reader: sum(reader.get(point_id) is not None for point_id in ("ray", "vector")),
    "search": lambda reader: len(reader.search(SearchQuery(clustered(1)[0])).hits),
    "hybrid": lambda reader: len(reader.search_hybrid(HybridQuery(vector=None, text="ray vector"))),
}


@pytest.mark.parametrize("way", WAYS_TO_READ)
def test_every_way_to_read_looks_for_new_writes_itself(
    open_shard: OpenShard, tmp_path: Path, way: str
) -> None:
    writer = open_shard()
    reader = ShardReader(tmp_path / "shard")
    for count, point_id in enumerate(("ray", "vector"), start=1):
        writer.upsert(batch_of([point_id], clustered(1))).result()
        assert WAYS_TO_READ[way](reader) == count
    reader.close()


def test_a_reader_in_another_process_follows_the_owner(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    program = (
        "import sys, pathlib; from storage.reader import ShardReader\n"
        f"reader = ShardReader(pathlib.Path({str(tmp_path / 'shard')!r}))\n"
        "for line in sys.stdin: print(reader.get(line.strip()) is not None, reader.count(), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        for number in range(20):
            writer.upsert(batch_of([f"p{number}"], clustered(1))).result()
            if number % 6 == 5:
                writer.seal()
            child.stdin.write(f"p{number}\n")
            child.stdin.flush()
            assert child.stdout.readline().split() == ["True", str(number + 1)]
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait(10)


@pytest.mark.slow
def test_readers_are_safe_while_the_owner_seals_flushes_and_merges(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard(seal_rows=20, merge_factor=2)
    names = [str(row) for row in range(60)]
    vectors = clustered(60)
    writer.upsert(batch_of(names, vectors)).result()
    done = threading.Event()
    wrong: list[int] = []
    looks = 0

    def look() -> None:
        nonlocal looks
        reader = ShardReader(tmp_path / "shard")
        while not done.is_set():
            looks += 1
            found = {hit.id for hit in reader.search(SearchQuery(vectors[0], top_k=100))}
            if found != set(names):
                wrong.append(len(found))
            let_others_run()
        reader.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for turn in range(40):
            writer.upsert(batch_of(names[turn:], vectors[turn:])).result()
            writer.seal()
            writer.flush()
            writer.merge()
    finally:
        done.set()
        thread.join()
    assert looks
    assert wrong == []


def test_a_shard_that_never_had_an_owner_is_unavailable(tmp_path: Path) -> None:
    create_shard(tmp_path, ShardSpec(2, Metric.COSINE, IndexOptions()))
    with pytest.raises(ShardUnavailable):
        ShardReader(tmp_path)


def test_a_shard_whose_place_another_took_is_gone(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    reader = ShardReader(tmp_path / "shard")
    seen = [reader.is_gone]
    writer.close()
    (tmp_path / "shard" / COUNTER).unlink()
    seen.append(reader.is_gone)
    open_shard()
    seen.append(reader.is_gone)
    assert seen == [False, True, True]
    reader.close()


def test_a_refresh_that_fails_half_way_leaves_nothing_twice(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    reader = ShardReader(tmp_path / "shard")
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()

    def fail(*_arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(ShardView, "_end_older", fail)
        with pytest.raises(MemoryError):
            reader.refresh()
        assert not reader.is_current
    hits = reader.search(SearchQuery(clustered(1)[0], top_k=10)).hits
    assert sorted(hit.id for hit in hits) == ["a", "b"]
    assert reader.count() == 2
    reader.close()
