"""Writes that are acknowledged while a segment is built count, though the segment does not know them."""

from pathlib import Path
from typing import Any

import pytest

from storage import merging, sealing, segment_files
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from tests.unit.storage.test_recovery import all_ids


@pytest.mark.parametrize("step", ["seal", "merge"])
def test_what_ends_while_a_segment_is_built_has_ended_when_it_is_there(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    # Merges happen when the test says so.
    monkeypatch.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)
    writer = open_shard(merge_factor=2)
    writer.upsert(batch_of(["deleted", "overwritten"], clustered(2))).result()
    if step == "merge":
        writer.seal()
    writer.upsert(batch_of(["kept"], clustered(1))).result()
    if step == "merge":
        writer.seal()
    module, name = {"seal": (sealing, "write_segment"), "merge": (merging, "merge_segments")}[step]
    build = getattr(segment_files, name)
    built: list[Path] = []

    def write_meanwhile(directory: Path, *args: Any, **kwargs: Any) -> None:
        build(directory, *args, **kwargs)
        built.append(directory)
        assert writer.delete(["deleted"]).result(10) == ["deleted"]
        writer.upsert(batch_of(["overwritten"], clustered(1, seed=1), b'{"n":2}')).result(10)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, write_meanwhile)
        getattr(writer, step)()
    assert built
    for _ in range(2):
        assert all_ids(writer) == ["kept", "overwritten"]
        assert writer.stats().points == 2
        point = writer.get("overwritten")
        assert point is not None
        assert point.payload == b'{"n":2}'
        writer.close(flush=False)
        writer = open_shard()
