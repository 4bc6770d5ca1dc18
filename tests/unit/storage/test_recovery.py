"""What a shard gives back after its owner was killed, or after its files were damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, OpenShard, allow_small_graphs, batch_of, clustered
from tests.unit.storage.test_segment import ALL_FILES
from vectoray.core.errors import CorruptData
from vectoray.core.model import IndexOptions, Metric, SearchQuery

pytestmark = pytest.mark.usefixtures("small_graphs")

LIVE = sorted({"c", *(f"a{row}" for row in range(2, 150)), *(f"b{row}" for row in range(1, 20))})


def all_ids(writer: ShardWriter) -> list[str]:
    query = np.ones(writer.spec.dimension, dtype=np.float32)
    return sorted(hit.id for hit in writer.search(SearchQuery(query, top_k=1_000_000)))


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard with two segments, dead rows, a flushed table and a log; to be copied."""
    directory = tmp_path_factory.mktemp("lived-in") / "shard"
    create_shard(directory, ShardSpec(DIMENSION, Metric.COSINE, IndexOptions()))
    quiet = StorageSettings(seal_rows=1_000_000, flush_rows=1_000_000, flush_interval_s=86_400)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)
        allow_small_graphs(patched)
        writer = ShardWriter(directory, quiet)
        writer.upsert(batch_of([f"a{row}" for row in range(150)], clustered(150))).result()
        writer.seal()
        assert writer.merge()
        writer.upsert(batch_of([f"b{row}" for row in range(20)], clustered(20))).result()
        writer.delete(["a0", "a1"]).result()
        writer.flush()
        writer.seal()
        writer.upsert(batch_of(["a2", "c"], clustered(2, seed=2))).result()
        writer.delete(["b0"]).result()
        assert all_ids(writer) == LIVE
        writer.close(flush=False)
    return directory


@pytest.fixture
def shard(lived_in: Path, tmp_path: Path) -> Path:
    """A copy of it, where `open_shard` opens it."""
    return Path(shutil.copytree(lived_in, tmp_path / "shard"))


@pytest.mark.parametrize("victim", ["manifest", "dead", *ALL_FILES])
@pytest.mark.parametrize("damage", ["empty", "flip", "missing"])
def test_derived_files_that_are_damaged_are_rebuilt_from_table_and_log(
    open_shard: OpenShard, shard: Path, victim: str, damage: str
) -> None:
    patterns = {"manifest": "manifest-*.json", "dead": "dead/*.u32"}
    path = max(shard.glob(patterns.get(victim, f"segments/*/{victim}")))
    if damage == "missing":
        path.unlink()
        if victim == "manifest":
            for other in shard.glob("manifest-*.json"):
                other.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(b"" if damage == "empty" else data)

    writer = open_shard()

    assert all_ids(writer) == LIVE
    point = writer.get("a2")
    assert point is not None
    assert np.array_equal(point.vector, clustered(2, seed=2)[0])
    writer.close()
    again = open_shard()
    assert all_ids(again) == LIVE


def test_what_cannot_be_read_is_put_aside_not_deleted(open_shard: OpenShard, shard: Path) -> None:
    newest = max(shard.glob("manifest-*.json"))
    newest.write_bytes(b"garbage")
    open_shard()
    kept = list((shard / "quarantine").rglob(newest.name))
    assert [path.read_bytes() for path in kept] == [b"garbage"]


@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_a_shard_whose_log_lost_a_write_refuses_to_open_and_changes_nothing(
    open_shard: OpenShard, tmp_path: Path, damage: str
) -> None:
    writer = open_shard()
    for number in range(4):
        writer.upsert(batch_of([str(number)], clustered(1))).result()
    writer.close(flush=False)
    victim = sorted((tmp_path / "shard" / "log").iterdir())[1]
    if damage == "missing":
        victim.unlink()
    else:
        data = bytearray(victim.read_bytes())
        data[100] ^= 1
        victim.write_bytes(data)
    before = sorted(path.name for path in (tmp_path / "shard").rglob("*"))

    with pytest.raises(CorruptData):
        open_shard()

    assert sorted(path.name for path in (tmp_path / "shard").rglob("*")) == before


def test_a_gap_between_table_and_log_is_noticed_when_the_manifest_is_gone(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.flush()
    for number in range(3):
        writer.upsert(batch_of([str(number)], clustered(1))).result()
    writer.close(flush=False)
    log = sorted((tmp_path / "shard" / "log").iterdir())
    for path in log[:2]:
        path.unlink()
    for path in (tmp_path / "shard").glob("manifest-*.json"):
        path.unlink()
    with pytest.raises(CorruptData, match="nothing between 2 and 3"):
        open_shard()


def test_files_that_were_being_written_when_the_owner_ended_are_removed(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.close(flush=False)
    leftovers = [tmp_path / "shard" / "log" / ".tmp-00000000000000000002.arrow"]
    leftovers[0].write_bytes(b"half")
    (tmp_path / "shard" / "segments" / ".tmp-00000009").mkdir()
    leftovers.append(tmp_path / "shard" / "segments" / ".tmp-00000009")
    assert all_ids(open_shard()) == ["a"]
    assert not any(path.exists() for path in leftovers)


def test_sequence_numbers_go_on_after_reopening_whatever_was_dropped(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.seal()
    writer.close(flush=True)
    writer = open_shard()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    point = writer.get("c")
    assert point is not None
    assert point.seq == 3


def test_writers_do_not_wait_for_the_graph_of_what_was_rebuilt(open_shard: OpenShard, tmp_path: Path) -> None:
    """It may take minutes."""
    writer = open_shard(max_unindexed_rows=4096)
    writer.upsert(batch_of([str(row) for row in range(4200)], clustered(4200))).result()
    writer.optimize()
    writer.close()
    next((tmp_path / "shard" / "segments").rglob("graph.usearch")).unlink()
    writer = open_shard(max_unindexed_rows=4096)
    assert [live.segment.graph for live in writer._view.head.segments] == [None]
    writer.upsert(batch_of(["new"], clustered(1))).result(10)
