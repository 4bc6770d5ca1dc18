"""What goes to a host together, and what does not wait for what."""

import asyncio
import pickle
import warnings
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from cluster.calls import Call
from tests.unit.cluster.conftest import collection_of, vectors_of, write_of
from vectoray.core.model import Collection, SearchQuery, SearchResult, WriteResult

with warnings.catch_warnings():
    # Ray's own use of pydantic is not ours to mend.
    warnings.simplefilter("ignore")
    from cluster import remote_shard_host
    from cluster.remote_shard_host import RemoteShardHost
    from cluster.settings import ClusterSettings

SLOW, QUICK = collection_of(1), collection_of(1, number=1)
QUERY = SearchQuery(vectors_of(1)[0])


class Wire:
    """Answers calls at once, but those that are about the slow collection when the gate opens."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.batches: list[list[str]] = []

    async def call(self, _method: str, calls: bytes, *, repeatable: bool) -> bytes:
        assert isinstance(repeatable, bool)
        decoded: Sequence[Call] = pickle.loads(calls)  # noqa: S301  (our own)
        self.batches.append([call.method for call in decoded])
        if any(call.arguments[0] == SLOW for call in decoded):
            await self.gate.wait()
        return pickle.dumps(
            [{0: WriteResult(1)} if call.method == "write" else SearchResult(()) for call in decoded]
        )


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def host(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> RemoteShardHost:
    host = RemoteShardHost(0, ClusterSettings())
    monkeypatch.setattr(host, "_remote", wire)
    return host


Ask = Callable[[RemoteShardHost, Collection], Coroutine[Any, Any, object]]


async def write(host: RemoteShardHost, collection: Collection) -> object:
    return await host.write(collection, {0: write_of(["a"])})


async def search(host: RemoteShardHost, collection: Collection) -> SearchResult:
    return await host.search(collection, [0], QUERY)


@pytest.mark.parametrize("ask", [write, search])
async def test_a_collection_that_answers_slowly_holds_up_no_other(
    host: RemoteShardHost, wire: Wire, ask: Ask
) -> None:
    slow = []
    for _ in range(20):
        slow.append(asyncio.create_task(ask(host, SLOW)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    under_way = len(wire.batches)
    async with asyncio.timeout(5):
        for _ in range(5):
            await ask(host, QUICK)
    assert not any(task.done() for task in slow)
    assert sum(host.waiting.values()) == 20 - under_way
    wire.gate.set()
    await asyncio.gather(*slow)
    assert sum(host.waiting.values()) == 0
    # Those of one collection that came meanwhile went together.
    assert len(wire.batches) == under_way + 5 + 1


async def test_collections_that_are_asked_for_no_longer_are_forgotten(
    host: RemoteShardHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_shard_host, "_IDLE_COLLECTIONS", 4)
    for number in range(1, 50):
        await search(host, collection_of(1, number=number))
    assert len(host._reads._batchers) <= 5
