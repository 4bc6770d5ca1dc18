"""Shards that have lived, a snapshot of them, and what the tests of snapshots ask of both."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import files
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.snapshot import snapshot
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, batch_of, clustered
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.model import IndexOptions, Metric

ABOUT = {"name": "news", "dimension": DIMENSION, "nested": {"metric": "cosine", "tags": ["a", None]}}
SPEC = ShardSpec(DIMENSION, Metric.COSINE, IndexOptions())

OpenAt = Callable[..., ShardWriter]
Contents = dict[str, tuple[bytes, str | None, int, int, bytes]]


def open_in(directory: Path, **given: int) -> ShardWriter:
    """Open a shard that seals and flushes nothing unless told so."""
    limits = {"seal_rows": 1_000_000, "flush_rows": 1_000_000, "flush_interval_s": 86_400, **given}
    return ShardWriter(directory, StorageSettings.model_validate(limits))


@pytest.fixture
def open_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAt]:
    """Opens a shard anywhere, making it first unless told otherwise; closes all at the end.

    Nothing is sealed, merged or flushed unless the test says so.
    """
    opened: list[ShardWriter] = []
    monkeypatch.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)

    def open_one(directory: Path, *, make: bool = True, **given: int) -> ShardWriter:
        if make:
            create_shard(directory, SPEC)
        opened.append(open_in(directory, **given))
        return opened[-1]

    yield open_one
    for writer in opened:
        if not writer.closed:
            writer.close(flush=False)


def contents(writer: ShardWriter) -> Contents:
    points = [point for point_id in all_ids(writer) if (point := writer.get(point_id))]
    return {
        point.id: (point.payload, point.text, point.seq, point.updated_ms, point.vector.tobytes())
        for point in points
    }


def lived_in(writer: ShardWriter, *, seed: int) -> None:
    """Two segments, one with a graph; dead rows, a table that is behind, and a log."""
    writer.upsert(batch_of([f"a{row}" for row in range(1100)], clustered(1100, seed=seed))).result()
    writer.seal()
    while writer.merge():
        pass
    writer.upsert(batch_of([f"b{row}" for row in range(20)], clustered(20, seed=seed + 1))).result()
    writer.delete(["a0", "a1"]).result()
    writer.flush()
    writer.seal()
    writer.upsert(batch_of(["a2", "c"], clustered(2, seed=seed + 2), payload=b'{"late":true}')).result()
    writer.delete(["b0"]).result()


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, two that have lived and one that is empty, and a snapshot of them; to be copied."""
    folder = tmp_path_factory.mktemp("originals")
    directories = [folder / "data" / f"shard-{number}" for number in range(3)]
    for directory in directories:
        create_shard(directory, SPEC)
    opened = [open_in(directory) for directory in directories]
    lived_in(opened[0], seed=0)
    lived_in(opened[1], seed=10)
    snapshot(opened, folder / "snapshot", collection=ABOUT)
    for writer in opened:
        writer.close(flush=False)
    return folder


@pytest.fixture
def writers(originals: Path, tmp_path: Path, open_at: OpenAt) -> list[ShardWriter]:
    """The three shards."""
    shutil.copytree(originals / "data", tmp_path / "data")
    return [open_at(tmp_path / "data" / f"shard-{number}") for number in range(3)]


@pytest.fixture
def made(originals: Path, tmp_path: Path) -> Path:
    """The snapshot."""
    shutil.copytree(originals / "snapshot", tmp_path / "backups" / "monday")
    return tmp_path / "backups" / "monday"


def targets(tmp_path: Path, count: int = 3) -> list[Path]:
    return [tmp_path / "restored" / f"shard-{number}" for number in range(count)]


def nothing_restored(tmp_path: Path) -> bool:
    folder = tmp_path / "restored"
    return not folder.exists() or not list(folder.iterdir())


def leftovers(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob(files.TEMPORARY_PREFIX + "*"))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    # A new file: others may have linked the old one.
    path.unlink()
    path.write_bytes(data)
