"""Bugs that the loss of power found, each with the moment that shows it."""

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.table import PointTable
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.durable_image import DurableImage, KilledError
from tests.unit.storage.oracle import WriteRows, points_of
from tests.unit.storage.test_disk_failures import table_ids
from tests.unit.storage.test_recovery import all_ids
from tests.unit.storage.workload import DIMENSION, row_of
from vectoray.core.model import IndexOptions, Metric


class PowerLostError(BaseException):
    """Nothing more happens."""


@pytest.mark.parametrize("survives", ["nothing but names", "no name but the manifest's"])
def test_a_flush_goes_on_after_one_whose_files_were_lost_with_the_power(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: str
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    durable = set((tmp_path / "shard" / "table").rglob("*"))
    writer.upsert(batch_of(["b", "c"], clustered(2, seed=1))).result()
    writer.delete(["a"]).result()

    def lose_power(_: PointTable) -> None:
        raise PowerLostError

    with monkeypatch.context() as patched:
        patched.setattr(PointTable, "_sync", lose_power)
        with pytest.raises(PowerLostError):
            writer.flush()
    writer.close(flush=False)
    lost = [path for path in (tmp_path / "shard" / "table").rglob("*") if path not in durable]
    for path in lost:
        if path.is_file() and path.suffix != ".manifest":
            path.unlink()
            if survives == "nothing but names":
                path.touch()

    # By another path: Lance remembers what it read of a table.
    shutil.copytree(tmp_path / "shard", tmp_path / "copy")
    again = ShardWriter(tmp_path / "copy", StorageSettings(flush_interval_s=86_400))
    assert all_ids(again) == ["b", "c"]
    again.flush()
    assert table_ids(again) == ["b", "c"]
    again.close()


def test_a_table_whose_manifest_is_zeros_is_not_taken_for_an_empty_one(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.close()
    newest = min((tmp_path / "shard" / "table").rglob("*.manifest"))
    newest.write_bytes(bytes(newest.stat().st_size))

    shutil.copytree(tmp_path / "shard", tmp_path / "copy")
    again = ShardWriter(tmp_path / "copy", StorageSettings(flush_interval_s=86_400))
    again.upsert(batch_of(["b"], clustered(1))).result()
    again.flush()
    assert table_ids(again) == ["a", "b"]
    again.close()


def test_what_an_owner_shows_after_a_kill_is_not_lost_with_the_power(tmp_path: Path) -> None:
    for name in ("disk", "vault"):
        (tmp_path / name).mkdir()
    directory = tmp_path / "disk" / "shard"
    create_shard(directory, ShardSpec(DIMENSION, Metric.COSINE, IndexOptions()))
    quiet = StorageSettings(flush_interval_s=86_400)
    ShardWriter(directory, quiet).close()
    image = DurableImage(tmp_path / "disk", tmp_path / "vault")

    def kill_after_the_rename(call: str) -> None:
        if call == "fsync shard/log" and kill:
            image.dead = True

    kill = False
    with image.watching(kill_after_the_rename):
        writer = ShardWriter(directory, quiet)
        kill = True
        with suppress(KilledError):
            writer.write(WriteRows(["a"], [row_of(1)]).batch).result(10)
        writer.close(flush=False)
        image.dead = kill = False
        writer = ShardWriter(directory, quiet)
        assert set(points_of(writer, DIMENSION)) == {"a"}
        writer.close(flush=False)
    for seed in range(12):
        target = tmp_path / f"survivor-{seed}"
        image.write_survivor(target, np.random.default_rng(seed))
        writer = ShardWriter(target / "shard", quiet)
        assert set(points_of(writer, DIMENSION)) == {"a"}
        writer.close(flush=False)
    image.close()


def test_a_table_put_aside_before_the_first_manifest_is_no_rebuild_cut_short(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.close(flush=False)
    shard = tmp_path / "shard"
    (shard / "quarantine" / "1" / "table").mkdir(parents=True)
    broken = shard / "table" / "points.lance" / "_versions" / "1.manifest"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half a manifest")
    assert all_ids(open_shard()) == ["a"]
