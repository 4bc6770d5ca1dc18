"""What is done over REST can be followed: through the real services, from the catalog and the shards."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from serve.app import build_app
from serve.auth import ANONYMOUS
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import running
from vectoray.core.events import Event, EventType, Gap


@pytest.fixture
async def server(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """A client of a server, and the services behind it."""
    opened: list[Services] = []

    async def open_once() -> Services:
        opened.append(await open_services())
        return opened[0]

    app = build_app(settings, open_services=open_once, anonymous_allowed=True)
    async with running(app) as client:
        assert (await client.get("/api/v1/health")).status_code == 200
        yield client, opened[0]


async def first(stream: AsyncIterator[Event | Gap], count: int) -> list[Event]:
    found = [await anext(stream) for _ in range(count)]
    return [event for event in found if isinstance(event, Event)]


def point(name: str) -> dict[str, object]:
    return {"id": name, "vector": [1.0, 0.0, 0.0], "payload": {}}


async def test_a_collection_s_life_is_told_in_order(server: tuple[httpx.AsyncClient, Services]) -> None:
    client, services = server
    stream = await services.events.follow(ANONYMOUS, 0)
    body = {"name": "docs", "dimension": 3, "metric": "cosine"}
    assert (await client.post("/api/v1/collections", json=body)).status_code == 201
    [created] = await first(stream, 1)
    assert (created.offset, created.type, created.collection) == (1, EventType.COLLECTION_CREATED, "docs")
    assert created.details == {"dimension": 3, "metric": "cosine"}
    for names in (["a"], ["b", "c"], ["a"]):
        answer = await client.post(
            "/api/v1/collections/docs/vectors", json={"vectors": [point(name) for name in names]}
        )
        assert answer.status_code == 201
    # The shards of one write are in any order.
    written = await first(stream, 4)
    assert sorted(event.id or "" for event in written) == ["a", "a", "b", "c"]
    assert {event.type for event in written} == {EventType.UPSERTED}
    assert [event.offset for event in written] == [2, 3, 4, 5]
    assert (await client.delete("/api/v1/collections/docs/vectors/b")).status_code == 200
    [deleted] = await first(stream, 1)
    assert (deleted.id, deleted.type, deleted.key) == ("b", EventType.DELETED, "docs/b")
    assert (await client.delete("/api/v1/collections/docs")).status_code in (200, 204)
    [dropped] = await first(stream, 1)
    assert (dropped.type, dropped.collection_id) == (EventType.COLLECTION_DELETED, created.collection_id)


async def test_a_drop_tells_first_what_was_written(
    server: tuple[httpx.AsyncClient, Services],
) -> None:
    client, services = server
    for _ in range(5):
        body = {"name": "docs", "dimension": 3, "metric": "cosine"}
        assert (await client.post("/api/v1/collections", json=body)).status_code == 201
        vectors = [point(str(number)) for number in range(10)]
        await client.post("/api/v1/collections/docs/vectors", json={"vectors": vectors})
        await client.delete("/api/v1/collections/docs")
    found = await first(await services.events.follow(ANONYMOUS, 0), 60)
    life = [EventType.COLLECTION_CREATED, *[EventType.UPSERTED] * 10, EventType.COLLECTION_DELETED]
    assert [event.type for event in found] == life * 5
