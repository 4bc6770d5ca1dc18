"""The event streams of the kiss-vdb API: frames, where they begin, what they leave out, how they end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest.mock import patch

import httpx
import orjson
import pytest
from starlette.types import ASGIApp

from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from serve.surfaces.kissvdb.stream_translate import event_frame, event_types
from tests.contract.conftest import running
from tests.contract.envelopes import assert_kissvdb_error
from tests.contract.streams import Frame, following
from tests.contract.test_accounts import bearer, log_in, make_key
from vectoray.core.events import Event, EventType, Gap

DOCS = "/v1/vector/docs"
MOST = 3


@pytest.fixture
def settings(settings: ServeSettings) -> ServeSettings:
    return settings.model_copy(update={"max_streams_per_user": MOST})


@pytest.fixture
def app(settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]) -> ASGIApp:
    return build_app(settings, open_services=open_services, anonymous_allowed=True)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as opened:
        yield opened


@pytest.fixture
async def docs(app: ASGIApp, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of a server where a collection was made, and a vector added, upserted, updated and deleted.

    All of that has its offsets: between shards, they are given out in the order in which events are told.
    """
    assert (await client.post(DOCS, json={"dim": 2, "metric": "dot"})).status_code == 200
    for way in ("add", "upsert", "update", "delete"):
        response = await client.post(f"{DOCS}/{way}", json={"id": "a/1", "vector": [1, 2]})
        assert response.status_code == 200, response.text
    await told(app, "/v1/stream", 5)
    return client


LIFE = [
    "vector_collection_created",
    "vector_added",
    "vector_upserted",
    "vector_updated",
    "vector_deleted",
]


async def upsert(client: httpx.AsyncClient, point_id: str, collection: str = "docs", **more: Any) -> None:
    body = {"id": point_id, "vector": [1, 2]}
    response = await client.post(f"/v1/vector/{collection}/upsert", json=body, **more)
    assert response.status_code == 200, response.text


async def told(app: ASGIApp, url: str, count: int, **more: Any) -> list[Frame]:
    async with following(app, url, **more) as stream:
        assert stream.status == 200
        return await stream.take(count)


async def test_every_change_is_told_as_documented(app: ASGIApp, docs: httpx.AsyncClient) -> None:
    before_ms = int(time.time() * 1000) - 60_000
    async with following(app, "/v1/stream", {"authorization": "Bearer dev"}) as stream:
        frames = await stream.take(5)
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-cache"
    assert "deprecation" not in stream.headers
    assert [(frame.event, frame.id) for frame in frames] == list(zip(LIFE, range(1, 6), strict=True))
    for frame in frames:
        assert list(frame.data) == ["offset", "ts_ms", "type", "data"]
        assert (frame.data["offset"], frame.data["type"]) == (frame.id, frame.event)
        assert before_ms <= frame.data["ts_ms"] <= time.time() * 1000 + 1000
    assert frames[0].data["data"] == {"collection": "docs", "key": "docs", "dim": 2, "metric": "dot"}
    assert frames[1].data["data"] == {"collection": "docs", "id": "a/1", "key": "docs/a/1"}


async def test_what_happens_comes_after_what_has_happened_without_gap_or_repeat(
    app: ASGIApp, docs: httpx.AsyncClient
) -> None:
    async with following(app, "/v1/stream?since=3") as stream:
        await asyncio.gather(*(upsert(docs, f"{number}") for number in range(10)))
        frames = await stream.take(12)
        await docs.delete(DOCS)
        [dropped] = await stream.take(1)
    assert [frame.id for frame in frames] == list(range(4, 16))
    assert sorted(frame.data["data"]["id"] for frame in frames[2:]) == [f"{n}" for n in range(10)]
    assert (dropped.event, dropped.data["data"]["key"]) == ("vector_collection_deleted", "docs")


async def test_who_comes_back_goes_on_after_the_last_event_seen(
    app: ASGIApp, docs: httpx.AsyncClient
) -> None:
    [first] = await told(app, "/v1/stream?since=1", 1, headers={"last-event-id": "4"})
    assert first.id == 5
    [first] = await told(app, "/v1/stream?since=4", 1, headers={"last-event-id": "0"})
    assert first.id == 1


@pytest.mark.parametrize(
    "query", ["since=5", f"since={2**64 - 1}", "types=state_changed", "key_prefix=docs%2Fb"]
)
async def test_what_nobody_asked_for_is_not_told(app: ASGIApp, docs: httpx.AsyncClient, query: str) -> None:
    async with following(app, f"/v1/stream?{query}") as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stream.take(1)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("types=vector_upserted,state_changed", lambda kind, _: kind == "vector_upserted"),
        ("types=vector_added,%20vector_deleted", lambda kind, _: kind in ("vector_added", "vector_deleted")),
        ("types=", lambda *_: True),
        ("collection=other", lambda _, key: key.startswith("other")),
        ("collection=other&types=vector_upserted", lambda *what: what == ("vector_upserted", "other/b")),
        ("collection=", lambda *_: True),
        ("key_prefix=docs/a", lambda _, key: key.startswith("docs/a")),
        ("key_prefix=o", lambda _, key: key.startswith("o")),
    ],
)
async def test_a_stream_tells_what_was_asked_for(
    app: ASGIApp, docs: httpx.AsyncClient, query: str, wanted: Callable[[str, str], bool]
) -> None:
    await docs.post("/v1/vector/other", json={"dim": 2, "metric": "dot"})
    await upsert(docs, "b", "other")
    everything = await told(app, "/v1/stream", 7)
    expected = [frame.id for frame in everything if wanted(frame.event, frame.data["data"]["key"])]
    assert expected
    assert [frame.id for frame in await told(app, f"/v1/stream?{query}", len(expected))] == expected


async def test_the_deprecated_path_tells_the_same_and_says_what_to_use(
    app: ASGIApp, docs: httpx.AsyncClient
) -> None:
    async with following(app, "/v1/events?prefix=docs/&types=vector_added&collection=other") as stream:
        [frame] = await stream.take(1)
    assert frame.id == 2
    assert stream.headers["deprecation"] == "@1767225600"
    assert stream.headers["link"] == '</v1/stream>; rel="successor-version"'
    async with following(app, "/v1/events?prefix=other&since=0", {"last-event-id": "1"}) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stream.take(1)


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/events"])
@pytest.mark.parametrize("offset", ["-1", "1.0", "x", "", "+1", "1_0", f"{2**64}", "9" * 30])
async def test_an_offset_that_is_none_is_refused(client: httpx.AsyncClient, path: str, offset: str) -> None:
    response = await client.get(path, params={"since": offset})
    assert_kissvdb_error(response, 400, "invalid_argument")
    assert "since" in response.json()["message"]
    response = await client.get(path, headers={"last-event-id": offset})
    assert_kissvdb_error(response, 400, "invalid_argument")


async def test_a_stream_needs_a_right_credential(app: ASGIApp, client: httpx.AsyncClient) -> None:
    for path in ("/v1/stream", "/v1/events"):
        assert_kissvdb_error(await client.get(f"{path}?api_key=wrong"), 401, "unauthorized")
        assert_kissvdb_error(await client.get(path, headers={"x-api-key": ""}), 401, "unauthorized")
        assert_kissvdb_error(await client.post(path), 405, "method_not_allowed")


async def test_nobody_is_let_in_where_the_profile_says_so(strict_client: httpx.AsyncClient) -> None:
    for query in ("", "?api_key=dev"):
        response = await strict_client.get(f"/v1/stream{query}")
        assert_kissvdb_error(response, 401, "unauthorized")


async def test_a_user_is_told_of_their_own_and_locals_collections(
    app: ASGIApp, docs: httpx.AsyncClient
) -> None:
    ann = bearer((await log_in(docs))["access_token"])
    bob = bearer((await log_in(docs, "bob@example.com"))["access_token"])
    assert (
        await docs.post("/v1/vector/anns", json={"dim": 2, "metric": "dot"}, headers=ann)
    ).status_code == 200
    await upsert(docs, "secret", "anns", headers=ann)
    await told(app, "/v1/stream?since=5", 2, headers=ann)
    await upsert(docs, "last")
    key = (await make_key(docs, ann, permissions={"scopes": ["read"]}))["raw_key"]
    for who in ({"headers": ann}, {"headers": {"x-api-key": key}}):
        assert [frame.id for frame in await told(app, "/v1/stream?since=5", 3, **who)] == [6, 7, 8]
    assert [one.id for one in await told(app, f"/v1/stream?since=5&api_key={key}", 3)] == [6, 7, 8]
    for others in (bob, {}):
        assert [frame.id for frame in await told(app, "/v1/stream?since=5", 1, headers=others)] == [8]


async def test_a_user_has_so_many_streams_and_no_more(app: ASGIApp, client: httpx.AsyncClient) -> None:
    ann = bearer((await log_in(client))["access_token"])
    async with following(app, "/v1/stream"), following(app, "/v1/events"):
        async with following(app, "/v1/stream") as last:
            assert last.status == 200
            refused = await client.get("/v1/stream")
            assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
            assert "retry-after" in refused.headers
            async with following(app, "/v1/stream", ann) as other:
                assert other.status == 200
        async with following(app, "/v1/stream") as next_one:
            assert next_one.status == 200


async def test_a_stream_takes_no_place_of_a_request(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> None:
    narrow = settings.model_copy(update={"max_concurrent_requests": 1})
    app = build_app(narrow, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client:
        assert (await client.get("/v1/vector")).status_code == 200
        async with following(app, "/v1/stream") as stream:
            assert stream.status == 200
            assert (await client.get("/v1/vector")).status_code == 200


async def test_a_stream_outlives_the_deadline_of_requests(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> None:
    hasty = settings.model_copy(update={"request_timeout_s": 1.0})
    app = build_app(hasty, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client, following(app, "/v1/stream") as stream:
        await asyncio.sleep(1.2)
        assert (await client.post(DOCS, json={"dim": 2, "metric": "dot"})).status_code == 200
        assert [frame.event for frame in await stream.take(1)] == ["vector_collection_created"]


async def test_a_gateway_that_is_to_end_ends_its_streams(app: ASGIApp, docs: httpx.AsyncClient) -> None:
    class Ending:
        def __init__(self) -> None:
            self.now = asyncio.Event()

        async def begun(self) -> None:
            await self.now.wait()

    ending = Ending()
    async with following(app, "/v1/stream?since=4", state={"draining": ending}) as stream:
        await stream.take(1)
        ending.now.set()
        assert await stream.ended() == b""


async def test_a_gap_is_told_once(app: ASGIApp, docs: httpx.AsyncClient) -> None:
    forgotten = Gap(1, 3)

    async def with_gap(*_: object, **__: object) -> AsyncIterator[Event | Gap]:
        yield forgotten

    async def follow(*_: object, **__: object) -> AsyncIterator[Event | Gap]:
        return with_gap()

    with patch("serve.service.events.EventService.follow", follow):
        [frame] = await told(app, "/v1/stream", 1)
    assert frame == Frame("gap", 3, {"from_offset": 1, "to_offset": 3, "dropped": 3})
    [following_one] = await told(app, "/v1/stream", 1, headers={"last-event-id": str(frame.id)})
    assert following_one.id == 4


def test_an_event_is_one_frame_whatever_its_id_holds() -> None:
    event = Event(7, 1, EventType.DELETED, "docs", "uuid", "a\nb\r\x85")
    body = event_frame(event)
    assert body.startswith(b"event: vector_deleted\nid: 7\ndata: {")
    assert body.count(b"\n") == 4
    data = orjson.loads(body.split(b"data: ")[1])
    assert data["data"] == {"collection": "docs", "id": "a\nb\r\x85", "key": "docs/a\nb\r\x85"}


@pytest.mark.parametrize(
    ("listed", "types"),
    [
        (None, None),
        ("", None),
        ("state_changed", frozenset[EventType]()),
        (",", frozenset[EventType]()),
        ("vector_added, vector_deleted", frozenset((EventType.ADDED, EventType.DELETED))),
    ],
)
def test_types_that_do_not_exist_match_nothing(
    listed: str | None, types: frozenset[EventType] | None
) -> None:
    assert event_types(listed) == types
