"""Reads from the owner's files: always the newest, and never instead of an owner that should be asked."""

import asyncio
import errno
import gc
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster import local_reads
from cluster.local_reads import LocalReads
from cluster.placement import shard_directory
from cluster.shards import OpenShards, search_heads
from storage.reader import ShardReader
from storage.settings import StorageSettings
from storage.shard import COUNTER
from tests.unit.cluster.conftest import QUIET, collection_of, vectors_of, write_of
from vectoray.core.errors import ShardUnavailable
from vectoray.core.model import Collection, SearchQuery

DOCS = collection_of(2)
SHARDS = (0, 1)


class HostOfNode(OpenShards):
    """A host that says where it is, and how often it was asked."""

    def __init__(self, data_dir: Path, settings: StorageSettings = QUIET, node: str = "here") -> None:
        super().__init__(data_dir, settings)
        self.node = node
        self.opened = 0

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        await super().open(collection, shards)
        self.opened += 1
        return self.node


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[HostOfNode]:
    host = HostOfNode(tmp_path)
    await host.create(DOCS, SHARDS)
    yield host
    await host.close()


@pytest.fixture
async def reads(tmp_path: Path) -> AsyncIterator[LocalReads]:
    reads = LocalReads(tmp_path, node=lambda: "here", max_collections=2)
    yield reads
    reads.close()


async def ids_in(reads: LocalReads, host: HostOfNode, collection: Collection = DOCS) -> set[str] | None:
    views = await reads.views(collection, 0, host, range(collection.shards))
    if views is None:
        return None
    query = SearchQuery(vectors_of(1)[0], top_k=1000)
    return {hit.id for hit in await search_heads([view.head for view in views], collection, query)}


async def test_every_acknowledged_write_is_seen_by_the_next_read(host: HostOfNode, reads: LocalReads) -> None:
    assert await ids_in(reads, host) == set()
    expected = set()
    for number in range(20):
        # Now a few rows, taken in on the spot, now many, left to a thread.
        ids = [f"{number}-{row}" for row in range(40 if number % 3 else 2)]
        await host.write(DOCS, {number % 2: write_of(ids)})
        expected |= set(ids)
        assert await ids_in(reads, host) == expected
    await host.delete(DOCS, {0: ["0-0"]})
    assert await ids_in(reads, host) == expected - {"0-0"}
    assert host.opened == 1


async def test_new_segments_are_seen(tmp_path: Path, reads: LocalReads) -> None:
    host = HostOfNode(tmp_path, StorageSettings(seal_rows=10, flush_interval_s=86_400))
    await host.create(DOCS, SHARDS)
    for number in range(10):
        await host.write(DOCS, {0: write_of([f"{number}-{row}" for row in range(7)])})
        found = await ids_in(reads, host)
        assert found is not None
        assert len(found) == 7 * (number + 1)
    await host.close()
    # What the owner published last is enough, whoever is there to own it.
    found = await ids_in(reads, host)
    assert found is not None
    assert len(found) == 70


async def test_many_at_once_open_a_shard_once_and_all_see_it(host: HostOfNode, reads: LocalReads) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    assert await asyncio.gather(*(ids_in(reads, host) for _ in range(20))) == [{"a"}] * 20
    assert host.opened == 1
    await host.write(DOCS, {0: write_of([f"b{row}" for row in range(100)])})
    found = await asyncio.gather(*(ids_in(reads, host) for _ in range(20)))
    assert all(ids is not None and len(ids) == 101 for ids in found)


async def test_a_caller_that_leaves_stops_neither_an_opening_nor_a_refresh(
    host: HostOfNode, reads: LocalReads
) -> None:
    leaving = asyncio.create_task(ids_in(reads, host))
    staying = asyncio.create_task(ids_in(reads, host))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == set()
    await host.write(DOCS, {0: write_of([f"b{row}" for row in range(100)])})
    leaving = asyncio.create_task(ids_in(reads, host))
    staying = asyncio.create_task(ids_in(reads, host))
    await asyncio.sleep(0)
    leaving.cancel()
    found = await staying
    assert found is not None
    assert len(found) == 100


async def test_what_fails_after_its_caller_left_is_no_news_to_the_event_loop(
    tmp_path: Path, host: HostOfNode, reads: LocalReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler would write a traceback to the log."""
    overlooked: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: overlooked.append(context))
    entered, gate = asyncio.Event(), asyncio.Event()

    class Failing(HostOfNode):
        async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
            entered.set()
            await gate.wait()
            raise ShardUnavailable("down")

    leaving = asyncio.create_task(ids_in(reads, Failing(tmp_path)))
    await entered.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    gate.set()
    await asyncio.wait(reads._opening.values())
    await asyncio.sleep(0)
    assert await ids_in(reads, host) == set()

    began, released = threading.Event(), threading.Event()

    def fail_late(_reader: ShardReader) -> None:
        began.set()
        released.wait()
        raise ShardUnavailable("gone")

    await host.write(DOCS, {0: write_of([f"b{row}" for row in range(100)])})
    with monkeypatch.context() as broken:
        broken.setattr(ShardReader, "refresh", fail_late)
        leaving = asyncio.create_task(ids_in(reads, host))
        await asyncio.to_thread(began.wait)
        leaving.cancel()
        await asyncio.wait([leaving])
        released.set()
        [refreshing] = asyncio.all_tasks() - {asyncio.current_task(), reads._sweeping}
        await asyncio.wait([refreshing])
        del leaving, refreshing
    gc.collect()
    assert overlooked == []


async def test_a_host_of_another_node_is_not_read_here_and_asked_only_once_where_it_is(
    host: HostOfNode, reads: LocalReads
) -> None:
    host.node = "there"
    assert await ids_in(reads, host) is None
    assert await ids_in(reads, host) is None
    assert host.opened == 1


async def test_a_shard_is_not_read_before_its_owner_has_opened_it(
    tmp_path: Path, host: HostOfNode, reads: LocalReads
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    await host.close()

    class Down(HostOfNode):
        async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
            raise ShardUnavailable("down")

    with pytest.raises(ShardUnavailable, match="down"):
        await ids_in(reads, Down(tmp_path))


async def test_reads_go_on_while_the_owner_is_away(host: HostOfNode, reads: LocalReads) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    assert await ids_in(reads, host) == {"a"}
    await host.close()
    assert await ids_in(reads, host) == {"a"}


async def test_a_shard_that_cannot_be_read_is_left_to_its_owner_and_read_again_later(
    host: HostOfNode, reads: LocalReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ids_in(reads, host) == set()
    await host.write(DOCS, {0: write_of(["a"])})
    with monkeypatch.context() as broken:
        broken.setattr(ShardReader, "refresh", _fail)
        assert await ids_in(reads, host) is None
        assert await ids_in(reads, host) is None
    assert await ids_in(reads, host) == {"a"}


def _fail(_reader: ShardReader) -> None:
    raise ShardUnavailable("The shard's files cannot be read; its owner may be rebuilding them.")


async def test_no_more_collections_stay_open_than_are_allowed(host: HostOfNode, reads: LocalReads) -> None:
    others = [collection_of(1, number=number) for number in range(1, 4)]
    for collection in others:
        await host.create(collection, [0])
        await host.write(collection, {0: write_of([f"of-{collection.name}"])})
    for _ in range(2):
        for collection in (DOCS, *others):
            found = await ids_in(reads, host, collection)
            assert found == (set() if collection is DOCS else {f"of-{collection.name}"})
            assert len(reads._open) <= 2


@pytest.mark.parametrize("error", [OSError(5, "broken"), RuntimeError()])
async def test_a_look_that_fails_does_not_end_the_looking(
    host: HostOfNode, reads: LocalReads, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(local_reads, "_SWEEP_EVERY_S", 0.001)
    looks = 0
    looked = asyncio.Event()

    def is_gone(_reader: ShardReader) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise error
        loop.call_soon_threadsafe(looked.set)
        return False

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(ShardReader, "is_gone", property(is_gone))
    await ids_in(reads, host)
    async with asyncio.timeout(5):
        await looked.wait()


async def test_a_shard_that_cannot_be_opened_here_is_left_to_its_owner(
    host: HostOfNode, reads: LocalReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_reader: ShardReader, _directory: Path) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(ShardReader, "__init__", refuse)
        assert await ids_in(reads, host) is None
    assert await ids_in(reads, host) == set()


async def test_a_counter_cut_short_is_left_to_its_owner(
    host: HostOfNode, reads: LocalReads, tmp_path: Path
) -> None:
    await host.open(DOCS, SHARDS)
    (shard_directory(tmp_path, DOCS.id, 1) / COUNTER).write_bytes(b"")
    assert await ids_in(reads, host) is None


async def test_a_removed_collection_is_let_go(
    host: HostOfNode, reads: LocalReads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_reads, "_SWEEP_EVERY_S", 0.01)
    forgotten, forget = asyncio.Event(), reads.forget

    def forget_and_tell(collection_id: str) -> None:
        forget(collection_id)
        forgotten.set()

    monkeypatch.setattr(reads, "forget", forget_and_tell)
    await ids_in(reads, host)
    shutil.rmtree(shard_directory(tmp_path, DOCS.id, 0))
    async with asyncio.timeout(10):
        await forgotten.wait()
    assert not reads._open
