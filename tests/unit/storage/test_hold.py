"""A held shard stays as it is, whatever wants to change it; nothing fails for that."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from storage import sealing
from storage.log import WriteLog
from storage.manifest import Manifest
from storage.segment_files import write_segment
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from vectoray.core.errors import ShardLocked, Unavailable

# Long enough for a thread that does not wait to be seen not to.
_A_MOMENT_S = 0.05


def files_of(directory: Path) -> dict[str, int]:
    paths = [path for path in directory.rglob("*") if path.is_file() and "table" not in path.parts]
    named = [path for path in paths if path.name not in {"LOCK", "GENERATION"}]
    return {str(path.relative_to(directory)): path.stat().st_ino for path in named}


def test_a_held_shard_names_exactly_the_files_that_an_owner_would_open(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(list("abc"), clustered(3))).result()
    writer.seal()
    writer.upsert(batch_of(["d"], clustered(1))).result()
    writer.delete(["a"]).result()
    writer.flush()
    writer.seal()
    writer.upsert(batch_of(["e"], clustered(1))).result()
    with writer.hold() as held:
        segments = [path for path in held if path.parts[0] == "segments"]
        assert sorted(str(path) for path in held if path not in segments) == [
            "dead/" + next((writer.directory / "dead").iterdir()).name,
            "log/00000000000000000006.arrow",
            max(path.name for path in writer.directory.glob("manifest-*")),
            "shard.json",
        ]
        there = (writer.directory / "segments").glob("*/*")
        assert sorted(segments) == sorted(path.relative_to(writer.directory) for path in there)
        assert len({path.parent for path in segments}) == 2
        assert len(held) == len(set(held))


def test_the_newest_batch_is_among_the_files_though_it_is_sealed(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    writer.upsert(batch_of(["b"], clustered(1))).result()
    writer.seal()
    with writer.hold() as held:
        assert [path.name for path in held if path.parent.name == "log"] == ["00000000000000000002.arrow"]


def test_writes_wait_for_the_end_of_a_hold_and_succeed(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    with writer.hold():
        before = files_of(writer.directory)
        waiting = writer.upsert(batch_of(["b"], clustered(1)))
        with pytest.raises(TimeoutError):
            waiting.result(_A_MOMENT_S)
        assert files_of(writer.directory) == before
        assert writer.stats().points == 1
    assert waiting.result(10).written == 1


@pytest.mark.parametrize("step", ["seal", "merge", "flush", "close"])
def test_maintenance_and_closing_wait_for_the_end_of_a_hold(
    open_shard: OpenShard, pool: ThreadPoolExecutor, step: str
) -> None:
    writer = open_shard(merge_factor=2)
    for name in "ab":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
    writer.upsert(batch_of(["c"], clustered(1))).result()
    with writer.hold() as held:
        before = writer._owned.manifest.generation
        waiting = pool.submit(getattr(writer, step))
        with pytest.raises(TimeoutError):
            waiting.result(_A_MOMENT_S)
        assert writer._owned.manifest.generation == before
        assert all((writer.directory / path).exists() for path in held)
    waiting.result(30)
    assert writer._owned.manifest.generation > before


def test_nobody_else_gets_the_shard_during_a_hold(open_shard: OpenShard, pool: ThreadPoolExecutor) -> None:
    writer = open_shard()
    with writer.hold():
        closing = pool.submit(writer.close)
        with pytest.raises(TimeoutError):
            closing.result(_A_MOMENT_S)
        with pytest.raises(ShardLocked):
            open_shard()
    closing.result(10)
    open_shard()


def test_a_hold_does_not_wait_for_a_segment_being_built(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    building, go_on = Event(), Event()

    def slowly(*given: Any, **options: Any) -> None:
        building.set()
        assert go_on.wait(10)
        write_segment(*given, **options)

    monkeypatch.setattr(sealing, "write_segment", slowly)
    sealed = pool.submit(writer.seal)
    assert building.wait(10)
    with writer.hold() as held:
        assert sorted(map(str, held)) == ["log/00000000000000000001.arrow", "shard.json"]
    go_on.set()
    sealed.result(10)


def test_a_hold_waits_for_a_group_that_is_on_its_way(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    appended, go_on = Event(), Event()
    append = WriteLog.append

    def slowly(log: WriteLog, records: Any) -> None:
        append(log, records)
        appended.set()
        assert go_on.wait(10)

    monkeypatch.setattr(WriteLog, "append", slowly)
    writing = writer.upsert(batch_of(["a"], clustered(1)))
    assert appended.wait(10)

    def hold() -> tuple[int, int]:
        with writer.hold() as held:
            return writer.stats().points, sum(path.parent.name == "log" for path in held)

    holding = pool.submit(hold)
    with pytest.raises(TimeoutError):
        holding.result(_A_MOMENT_S)
    go_on.set()
    assert holding.result(10) == (1, 1)
    assert writing.result(10).written == 1


def test_a_hold_waits_for_a_manifest_that_is_being_published(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    publishing, go_on = Event(), Event()
    replace_tail = writer._view.replace_tail

    def slowly(*given: Any) -> None:
        publishing.set()
        assert go_on.wait(10)
        replace_tail(*given)

    monkeypatch.setattr(writer._view, "replace_tail", slowly)
    sealing = pool.submit(writer.seal)
    assert publishing.wait(10)

    def hold() -> list[str]:
        with writer.hold() as held:
            return [path.name for path in held if path.name.startswith("manifest")]

    holding = pool.submit(hold)
    with pytest.raises(TimeoutError):
        holding.result(_A_MOMENT_S)
    go_on.set()
    assert holding.result(10) == ["manifest-00000000000000000001.json"]
    sealing.result(10)


def test_a_hold_does_not_wait_for_writes_that_wait_for_room(
    open_shard: OpenShard, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    waiting, go_on = Event(), Event()

    def until_there_is_room() -> None:
        waiting.set()
        assert go_on.wait(10)

    monkeypatch.setattr(writer._commits, "_wait_for_room", until_there_is_room)
    writing = writer.upsert(batch_of(["a"], clustered(1)))
    assert waiting.wait(10)
    with writer.hold() as held:
        assert list(map(str, held)) == ["shard.json"]
    go_on.set()
    assert writing.result(10).written == 1


def test_a_shard_that_is_closed_or_broken_cannot_be_held(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.close()
    with pytest.raises(Unavailable), writer.hold():
        pass
    writer = open_shard()
    writer._owned.broken = True
    with pytest.raises(Unavailable), writer.hold():
        pass


def test_a_hold_ends_with_an_error_inside_it(open_shard: OpenShard) -> None:
    writer = open_shard()
    with pytest.raises(ZeroDivisionError), writer.hold():
        raise ZeroDivisionError
    writer.upsert(batch_of(["a"], clustered(1))).result(10)
    writer.seal()
    assert writer._owned.manifest == Manifest(
        generation=1,
        sealed_seq=1,
        segments=("00000000",),
        next_segment=1,
        last_write_ms=writer.stats().last_write_ms,
    )


def held_files(writer: ShardWriter) -> int:
    with writer.hold() as held:
        return len(held)


def test_one_hold_waits_for_another(open_shard: OpenShard, pool: ThreadPoolExecutor) -> None:
    writer = open_shard()
    with writer.hold():
        second = pool.submit(held_files, writer)
        with pytest.raises(TimeoutError):
            second.result(_A_MOMENT_S)
    assert second.result(10) == 1
