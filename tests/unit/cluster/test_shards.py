"""The shards of one process: opened once, shared by all callers, given up in an orderly way."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import shards
from cluster.shards import OpenShards, sum_stats
from storage.settings import StorageSettings
from storage.writer import ShardWriter
from tests.unit.cluster.conftest import QUIET, collection_of, vectors_of, write_of
from vectoray.core.errors import CorruptData, InternalError, ShardUnavailable, StorageFull, Unavailable
from vectoray.core.filters import Eq
from vectoray.core.model import CollectionStats, SearchQuery, WriteResult

DOCS = collection_of(2)
OTHER = collection_of(1, number=1)
# What a host answers to a write of one row to its first shard.
ONE = {0: WriteResult(1)}
EMPTY = CollectionStats(points=0, last_write_ms=0, index_bytes=0, records=0, writes=0)


class Gate:
    """Opens shards as the product does, but counts the openings and can hold them up."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __call__(self, directory: Path, settings: StorageSettings) -> ShardWriter:
        self.opened.append(directory.name)
        self.entered.set()
        assert self.open.wait(10)
        return ShardWriter(directory, settings)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(shards, "ShardWriter", gate)
    return gate


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[OpenShards]:
    """A host with two empty shards of DOCS."""
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0, 1])
    yield host
    await host.close()


async def ids_in(host: OpenShards, shard: int, *ids: str) -> list[str]:
    return [point.id for point in await host.get(DOCS, {shard: list(ids)})]


async def test_calls_that_come_together_open_a_shard_once(host: OpenShards, gate: Gate) -> None:
    answers = await asyncio.gather(
        *(host.write(DOCS, {0: write_of([f"p{number}"])}) for number in range(10)),
        *(host.search(DOCS, [0, 1], SearchQuery(vectors_of(1)[0])) for _ in range(10)),
        host.stats([(DOCS, [0, 1])]),
    )
    assert answers[:10] == [ONE] * 10
    assert sorted(gate.opened) == ["shard-0000", "shard-0001"]
    assert await host.stats([(DOCS, [1])]) == [EMPTY]
    assert len(gate.opened) == 2


async def test_a_first_caller_that_goes_away_does_not_take_the_shard_from_the_others(
    host: OpenShards, gate: Gate
) -> None:
    gate.open.clear()
    first = asyncio.create_task(host.write(DOCS, {0: write_of(["first"])}))
    await asyncio.to_thread(gate.entered.wait, 10)
    others = [asyncio.create_task(host.write(DOCS, {0: write_of([f"p{number}"])})) for number in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()

    assert await asyncio.gather(*others) == [ONE, ONE, ONE]
    assert await ids_in(host, 0, "first", "p0", "p1", "p2") == ["p0", "p1", "p2"]
    assert gate.opened == ["shard-0000"]


async def test_a_shard_opened_for_a_caller_that_went_away_is_there_for_the_next(
    host: OpenShards, gate: Gate
) -> None:
    gate.open.clear()
    only = asyncio.create_task(host.get(DOCS, {0: ["a"]}))
    await asyncio.to_thread(gate.entered.wait, 10)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    gate.open.set()
    assert await host.write(DOCS, {0: write_of(["a"])}) == ONE
    assert gate.opened == ["shard-0000"]


async def test_dropping_a_shard_lets_the_writes_that_wait_for_it_end(
    host: OpenShards, tmp_path: Path
) -> None:
    await host.write(DOCS, {0: write_of(["a"]), 1: write_of(["b"])})
    writes = [asyncio.create_task(host.write(DOCS, {0: write_of([f"p{number}"])})) for number in range(20)]
    query = SearchQuery(vectors_of(1)[0], filter=Eq(("row",), 0))
    searches = [asyncio.create_task(host.search(DOCS, [0, 1], query)) for _ in range(5)]
    await asyncio.sleep(0)

    await host.drop(DOCS, [0])

    assert await asyncio.gather(*writes) == [ONE] * 20
    assert all([len(await search) for search in searches])
    with pytest.raises(ShardUnavailable):
        await ids_in(host, 0, "a")
    assert await ids_in(host, 1, "b") == ["b"]
    assert [path.name for path in (tmp_path / "collections" / DOCS.id).iterdir()] == ["shard-0001"]


async def test_dropping_all_shards_leaves_nothing_and_may_be_repeated(
    host: OpenShards, tmp_path: Path
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    for _ in range(2):
        await host.drop(DOCS, [0, 1])
        assert list((tmp_path / "collections").iterdir()) == []
    await host.create(DOCS, [0])
    assert await ids_in(host, 0, "a") == []


async def test_creating_again_leaves_what_is_there(host: OpenShards) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    await host.create(DOCS, [0, 1])
    assert await ids_in(host, 0, "a") == ["a"]


async def test_a_shard_that_is_not_here_is_unavailable_and_not_made(host: OpenShards, tmp_path: Path) -> None:
    with pytest.raises(ShardUnavailable) as caught:
        await host.write(OTHER, {0: write_of(["a"])})
    assert caught.value.details == {"shard": 0}
    with pytest.raises(ShardUnavailable):
        await host.search(DOCS, [0, 1, 2], SearchQuery(vectors_of(1)[0]))
    assert not (tmp_path / "collections" / OTHER.id).exists()
    await host.create(OTHER, [0])
    assert await host.write(OTHER, {0: write_of(["a"])}) == ONE


async def test_a_closed_host_takes_no_calls_and_its_data_is_there_for_the_next(tmp_path: Path) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0])
    await host.write(DOCS, {0: write_of(["a", "b"])})
    await host.close()
    await host.close()
    for call in (
        host.get(DOCS, {0: ["a"]}),
        host.write(DOCS, {0: write_of(["c"])}),
        host.delete(DOCS, {0: ["a"]}),
        host.search(DOCS, [0], SearchQuery(vectors_of(1)[0])),
    ):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.retryable

    successor = OpenShards(tmp_path, QUIET)
    assert await ids_in(successor, 0, "a", "b", "c") == ["a", "b"]
    await successor.drop(DOCS, [0])


@contextmanager
def owned_by_another_process(shard: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process holds the shard's lock, until the block ends."""
    program = (
        "import pathlib, sys; from storage.files import FileLock\n"
        f"lock = FileLock(pathlib.Path({str(shard / 'LOCK')!r}))\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        yield owner


async def test_a_shard_that_another_process_owns_is_unavailable_until_it_is_released(
    host: OpenShards, tmp_path: Path
) -> None:
    with owned_by_another_process(tmp_path / "collections" / DOCS.id / "shard-0000") as owner:
        for _ in range(2):
            with pytest.raises(ShardUnavailable, match="try again") as caught:
                await host.write(DOCS, {0: write_of(["a"])})
            # Which process it is, is not for clients.
            assert caught.value.details == {"shard": 0}
            assert str(owner.pid) not in caught.value.message
        assert await host.write(DOCS, {1: write_of(["b"])}) == {1: WriteResult(1)}
    assert await host.write(DOCS, {0: write_of(["a"])}) == ONE


async def test_stats_say_none_for_a_collection_of_which_a_shard_is_missing(host: OpenShards) -> None:
    await host.write(DOCS, {0: write_of(["a", "b"])})
    found = await host.stats([(OTHER, [0]), (DOCS, [0, 2]), (DOCS, [0, 1])])
    assert [stats and stats.points for stats in found] == [None, None, 2]


async def test_a_damaged_shard_fails_every_call_with_its_own_error(host: OpenShards, tmp_path: Path) -> None:
    (tmp_path / "collections" / DOCS.id / "shard-0000" / "shard.json").write_bytes(b"garbage")
    for _ in range(2):
        with pytest.raises(CorruptData):
            await ids_in(host, 0, "a")
    assert await ids_in(host, 1, "a") == []


@pytest.mark.parametrize(("code", "error"), [(28, StorageFull), (5, InternalError)])
async def test_a_disk_that_fails_while_a_shard_is_opened_is_named_and_tried_again(
    host: OpenShards, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    def broken(directory: Path, settings: StorageSettings) -> ShardWriter:
        raise OSError(code, "failure", str(directory))

    with monkeypatch.context() as patched:
        patched.setattr(shards, "ShardWriter", broken)
        with pytest.raises(error) as caught:
            await ids_in(host, 0, "a")
        assert "shard-0000" not in str(caught.value)
    assert await ids_in(host, 0, "a") == []


async def test_a_delete_answers_what_existed_in_each_shard(host: OpenShards) -> None:
    await host.write(DOCS, {0: write_of(["a", "b"]), 1: write_of(["c"])})
    deleted = await host.delete(DOCS, {0: ["b", "missing"], 1: ["c", "c", "a"]})
    assert sorted(deleted) == ["b", "c"]
    assert await ids_in(host, 0, "a", "b") == ["a"]


def test_stats_of_parts_add_up_and_the_latest_write_counts() -> None:
    parts = [CollectionStats(2, 30, 4, 3, 9), EMPTY, CollectionStats(5, 10, 3, 6, 8)]
    assert sum_stats(parts) == CollectionStats(7, 30, 7, 9, 17)
    assert sum_stats([]) == EMPTY
