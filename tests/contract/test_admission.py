"""More requests at a time than a gateway works on: refused at once, in the family's envelope."""

import asyncio
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import httpx
import pytest

from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import running
from tests.contract.envelopes import assert_vectorizer_error, assert_vectory_error
from vectoray.core.errors import ShardUnavailable
from vectoray.core.model import SearchResult

API = "/api/v1"
SEARCH = f"{API}/collections/docs/search"
QUESTION = {"vector": [1, 2, 3]}

Open = Callable[[], Awaitable[Services]]


class SlowSearch:
    """Stands in for an engine's search, and waits until it is told to go on."""

    def __init__(self) -> None:
        self.waiting = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def __call__(self, *_: object) -> SearchResult:
        self.waiting.release()
        await self.go_on.wait()
        return SearchResult()


async def create(client: httpx.AsyncClient) -> None:
    body = {"name": "docs", "dimension": 3, "metric": "cosine"}
    assert (await client.post(f"{API}/collections", json=body)).status_code == 201


async def test_one_request_too_many_is_refused_and_those_inside_are_answered(
    settings: ServeSettings, open_services: Open, engine: Engine
) -> None:
    two = settings.model_copy(update={"max_concurrent_requests": 2})
    slow = SlowSearch()
    async with running(build_app(two, open_services=open_services, anonymous_allowed=True)) as client:
        await create(client)
        with patch.object(engine, "search", slow):
            inside = [asyncio.create_task(client.post(SEARCH, json=QUESTION)) for _ in range(2)]
            for _ in inside:
                await slow.waiting.acquire()
            page = {"origin": "http://localhost:3000"}
            refused = await client.post(SEARCH, json=QUESTION, headers=page)
            assert_vectorizer_error(refused, 503, "SERVICE_UNAVAILABLE")
            assert refused.headers["access-control-allow-origin"] == page["origin"]
            assert_vectory_error(await client.get("/api/health"), 503)
            for path in ("/healthz", "/docs"):
                assert (await client.get(path)).status_code == 200
            slow.go_on.set()
            assert [answer.status_code for answer in await asyncio.gather(*inside)] == [200, 200]
        assert (await client.post(SEARCH, json=QUESTION)).status_code == 200


@pytest.mark.parametrize("failure", [ShardUnavailable("No."), ZeroDivisionError(), asyncio.CancelledError()])
async def test_a_request_that_fails_makes_room_for_the_next(
    settings: ServeSettings, open_services: Open, engine: Engine, failure: BaseException
) -> None:
    one = settings.model_copy(update={"max_concurrent_requests": 1})
    async with running(build_app(one, open_services=open_services, anonymous_allowed=True)) as client:
        await create(client)
        with patch.object(engine, "search", side_effect=failure):
            for _ in range(3):
                try:
                    answer = await client.post(SEARCH, json=QUESTION)
                except asyncio.CancelledError:
                    continue
                assert answer.json()["code"] == "SEARCH_FAILED"
        assert (await client.post(SEARCH, json=QUESTION)).status_code == 200
