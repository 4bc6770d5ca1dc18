"""The table's new folders survive loss of power, not only the files in them."""

from pathlib import Path

import pytest

from storage import files
from tests.unit.storage.conftest import OpenShard, batch_of, clustered


def test_every_name_in_the_table_is_durable_after_a_flush(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync_dir = files.fsync_dir
    durable: dict[Path, set[str]] = {}

    def note(path: Path) -> None:
        fsync_dir(path)
        durable[path] = {entry.name for entry in path.iterdir()}

    monkeypatch.setattr(files, "fsync_dir", note)
    writer = open_shard()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.flush()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.delete(["b"]).result()
    writer.flush()
    folders = [path for path in (tmp_path / "shard" / "table").rglob("*") if path.is_dir()]
    assert {path: {entry.name for entry in path.iterdir()} - durable[path] for path in folders} == {
        path: set() for path in folders
    }
