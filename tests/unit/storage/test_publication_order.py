"""Readers hear of a manifest, and of a write, only once it is there for them to read."""

from pathlib import Path

import pytest

from storage import owned_shard
from storage.manifest import GenerationCounter, Manifest, publish_manifest
from storage.records import Records
from tests.unit.storage.conftest import OpenShard, batch_of, clustered


def test_the_counter_tells_of_no_manifest_that_is_not_there_yet(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    counter = GenerationCounter(tmp_path / "shard" / "GENERATION", writable=False)
    told: list[tuple[int, int]] = []

    def note(directory: Path, manifest: Manifest) -> None:
        told.append((counter.read()[0], manifest.generation))
        publish_manifest(directory, manifest)

    monkeypatch.setattr(owned_shard, "publish_manifest", note)
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
    assert told == [(0, 1), (1, 2)]
    assert counter.read()[0] == 2
    counter.close()


def test_the_counter_tells_of_no_write_that_is_not_in_the_log_yet(
    open_shard: OpenShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    counter = GenerationCounter(tmp_path / "shard" / "GENERATION", writable=False)
    append = writer._owned.log.append
    told: list[tuple[int, int]] = []

    def note(records: Records) -> None:
        told.append((counter.read()[1], records.last_seq))
        append(records)

    monkeypatch.setattr(writer._owned.log, "append", note)
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
    assert told == [(0, 1), (1, 2)]
    assert counter.read()[1] == 2
    counter.close()
