"""Limits of requests and of attempts, in the envelope of each family and with a time to come again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.engine import Engine
from serve.app import build_app
from serve.machine import Machine
from serve.service.attempts import AttemptLimits
from serve.service.limits import CollectionDefaults, Limits
from serve.services import RateLimits, Services
from serve.settings import ServeSettings
from storage.blobs import Blobs
from storage.catalog import Catalog
from storage.events import EventLog
from tests.contract.conftest import MODEL, LetterEmbedder, quick_credentials, running
from tests.contract.envelopes import assert_vectorizer_error, assert_vectory_error
from tests.contract.test_accounts import AUTH, KEYS, PASSWORD, bearer, log_in, make_key
from vectoray.core.ingestion import Chunking

EMAIL = "ann@example.com"
COLLECTIONS = "/api/v1/collections"
Limited = Callable[[RateLimits], Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def limited(
    tmp_path: Path, engine: Engine, settings: ServeSettings, events_url: str
) -> AsyncIterator[Limited]:
    """Makes a client of a server with these limits."""
    opened = []

    async def make(rate_limits: RateLimits) -> httpx.AsyncClient:
        async def open_services() -> Services:
            return await Services.open(
                catalog=await Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}"),
                engine=engine,
                embedder=LetterEmbedder(),
                models=[MODEL],
                defaults=CollectionDefaults(shards=2, embedding_model=MODEL),
                limits=Limits(settings.max_dimension, settings.max_batch_points),
                chunking=Chunking(size_chars=512, overlap_chars=50),
                machine=Machine(tmp_path),
                blobs=Blobs.open(tmp_path / "uploads"),
                rate_limits=rate_limits,
                event_log=EventLog.open(events_url),
                **quick_credentials(),
            )

        app = running(build_app(settings, open_services=open_services, anonymous_allowed=True))
        opened.append(app)
        return await app.__aenter__()

    yield make
    for app in opened:
        await app.__aexit__(None, None, None)


def waits(response: httpx.Response) -> bool:
    return int(response.headers["retry-after"]) in range(1, 901)


async def log_in_wrongly(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    body = {"email": EMAIL, "password": "wrong horse"}
    return await client.post(f"{AUTH}/login", json=body, headers=headers)


async def test_requests_without_a_credential_are_counted_by_address_in_all_families(limited: Limited) -> None:
    client = await limited(RateLimits(per_minute=2))
    here = {"x-vectoray-client-address": "192.0.2.1"}
    assert (await client.get("/api/health", headers=here)).status_code == 200
    assert (await client.get(COLLECTIONS, headers=here)).status_code == 200
    refused = await client.get(COLLECTIONS, headers=here)
    assert_vectorizer_error(refused, 429, "RATE_LIMITED")
    assert waits(refused)
    assert_vectory_error(await client.get("/api/health", headers=here), 429)
    assert (
        await client.get("/api/health", headers={**here, "x-forwarded-for": "192.0.2.9"})
    ).status_code == 429
    there = {"x-vectoray-client-address": "192.0.2.2"}
    assert (await client.get("/api/health", headers=there)).status_code == 200
    for path in ("/healthz", "/docs"):
        assert (await client.get(path, headers=here)).status_code == 200


async def test_wrong_credentials_are_counted_by_address(limited: Limited) -> None:
    client = await limited(RateLimits(per_minute=1))
    assert_vectory_error(await client.get(KEYS, headers=bearer("wrong")), 401)
    assert_vectory_error(await client.get(KEYS, headers=bearer("wrong too")), 429)


async def test_a_key_has_a_limit_of_its_own_which_can_be_changed_and_taken_away(
    client: httpx.AsyncClient,
) -> None:
    ann = bearer((await log_in(client))["access_token"])
    made = await make_key(client, ann, rate_limit=2)
    assert made["rate_limit"] == 2
    key = {"x-api-key": made["raw_key"]}
    seen = [(await client.get("/api/collections", headers=key)).status_code for _ in range(3)]
    assert seen == [200, 200, 429]
    assert (await client.get("/api/collections", headers=ann)).status_code == 200
    path = f"{KEYS}/{made['id']}"
    renamed = await client.patch(path, json={"name": "n"}, headers=ann)
    assert renamed.json()["rate_limit"] == 2
    raised = await client.patch(path, json={"rate_limit": 100}, headers=ann)
    assert (raised.status_code, raised.json()["rate_limit"]) == (200, 100)
    assert (await client.get("/api/collections", headers=key)).status_code == 200
    unlimited = await client.patch(path, json={"rate_limit": None}, headers=ann)
    assert unlimited.json()["rate_limit"] is None
    [listed] = (await client.get(KEYS, headers=ann)).json()
    assert listed["rate_limit"] is None


async def test_a_key_with_a_limit_makes_no_key_without_one(client: httpx.AsyncClient) -> None:
    ann = bearer((await log_in(client))["access_token"])
    key = {"x-api-key": (await make_key(client, ann, rate_limit=9))["raw_key"]}
    assert_vectory_error(await client.post(KEYS, json={"name": "wider"}, headers=key), 403)


@pytest.mark.parametrize("rate_limit", [0, -1, 1.5, "60", True, 1_000_001])
async def test_a_bad_limit_is_refused(client: httpx.AsyncClient, rate_limit: Any) -> None:
    ann = bearer((await log_in(client))["access_token"])
    made = await make_key(client, ann)
    body = {"name": "k", "rate_limit": rate_limit}
    assert_vectory_error(await client.post(KEYS, json=body, headers=ann), 400)
    assert_vectory_error(await client.patch(f"{KEYS}/{made['id']}", json=body, headers=ann), 400)


async def test_passwords_are_not_guessed_at_speed(limited: Limited) -> None:
    client = await limited(RateLimits(attempts=AttemptLimits(failed_logins=3)))
    await log_in(client, EMAIL)
    seen = [(await log_in_wrongly(client)).status_code for _ in range(4)]
    assert seen == [401, 401, 401, 429]
    right = {"email": EMAIL.upper(), "password": PASSWORD}
    refused = await client.post(f"{AUTH}/login", json=right)
    assert_vectory_error(refused, 429)
    assert waits(refused)
    elsewhere = {"x-vectoray-client-address": "192.0.2.2"}
    assert (await client.post(f"{AUTH}/login", json=right, headers=elsewhere)).status_code == 200


async def test_who_has_no_account_is_refused_after_as_many_guesses(limited: Limited) -> None:
    client = await limited(RateLimits(attempts=AttemptLimits(failed_logins=1)))
    assert [(await log_in_wrongly(client)).status_code for _ in range(2)] == [401, 429]


async def test_every_way_in_counts_as_an_attempt(limited: Limited) -> None:
    client = await limited(RateLimits(attempts=AttemptLimits(per_minute=2)))
    pair = await log_in(client, EMAIL)  # which is two of them
    body: dict[str, Any]
    for path, body in (
        ("register", {"email": "bob@example.com", "password": PASSWORD}),
        ("login", {"email": EMAIL, "password": PASSWORD}),
        ("refresh", {"refresh_token": pair["refresh_token"]}),
    ):
        assert_vectory_error(await client.post(f"{AUTH}/{path}", json=body), 429)
