"""Figures, health and description of the server in the Vectory API."""

import asyncio
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import httpx
import pytest

from storage.catalog import Database, QueryStatistics
from tests.contract.envelopes import assert_vectory_error
from tests.contract.vectory_client import User, sign_in
from vectoray.core.errors import Unavailable

STATS = [
    "collection_id",
    "vector_count",
    "index_size_bytes",
    "dimension",
    "distance_metric",
    "index_type",
    "total_queries",
    "avg_query_latency_ms",
    "avg_latency_ms",
    "created_at",
]


async def ask(user: User, path: str, times: int = 1) -> None:
    for _ in range(times):
        response = await user.send("POST", f"{path}/query", {"vector": [1, 0, 0]})
        assert response.status_code == 200, response.text


async def test_stats_have_the_documented_fields(user: User) -> None:
    path = await user.collection(distance_metric="dot_product", index_type="flat")
    await user.insert(path, {"vector": [1, 0, 0]})
    stats = (await user.send("GET", f"{path}/stats")).json()
    assert list(stats) == STATS
    made = (await user.send("GET", path)).json()
    assert stats == {
        "collection_id": made["id"],
        "vector_count": 1,
        "index_size_bytes": 0,
        "dimension": 3,
        "distance_metric": "dot_product",
        "index_type": "flat",
        "total_queries": 0,
        "avg_query_latency_ms": 0.0,
        "avg_latency_ms": 0.0,
        "created_at": made["created_at"],
    }


async def test_searches_of_every_kind_and_family_are_counted(user: User) -> None:
    path = await user.collection()
    await user.insert(path, {"vector": [1, 0, 0], "text_content": "a"})
    first = await user.send("POST", f"{path}/query", {"vector": [1, 0, 0]})
    second = await user.send("POST", f"{path}/hybrid-search", {"text": "a"})
    third = await user.send("POST", "/api/v1/collections/docs/search", {"vector": [1, 0, 0]})
    took_ms = [first.json()["latency_ms"], second.json()["latency_ms"], third.json()["query_time_ms"]]
    stats = (await user.send("GET", f"{path}/stats")).json()
    assert stats["total_queries"] == 3
    assert stats["avg_query_latency_ms"] == pytest.approx(sum(took_ms) / 3, abs=0.002)
    assert stats["avg_latency_ms"] == stats["avg_query_latency_ms"]


async def test_a_search_that_is_refused_is_not_counted(user: User) -> None:
    path = await user.collection()
    await user.send("POST", f"{path}/query", {"vector": [1, 0]})
    assert (await user.send("GET", f"{path}/stats")).json()["total_queries"] == 0


@pytest.mark.parametrize("path", ["/api/metrics", "/api/system/metrics"])
async def test_metrics_are_of_what_the_caller_may_see(
    client: httpx.AsyncClient, user: User, path: str
) -> None:
    own = await user.collection()
    await user.insert(own, {"vector": [1, 0, 0]}, {"vector": [0, 1, 0]})
    await ask(user, own, 2)
    bob = await sign_in(client, "bob@example.com")
    of_bob = await bob.collection()
    await ask(bob, of_bob)
    metrics = (await user.send("GET", path)).json()
    average_ms = metrics.pop("avg_query_latency_ms")
    assert average_ms > 0
    assert metrics == {
        "total_collections": 1,
        "total_vectors": 2,
        "total_queries": 2,
        "avg_latency_ms": average_ms,
    }
    assert (await client.get(path)).json()["total_queries"] == 0
    limited = await user.send(
        "POST", "/api/keys", {"name": "k", "permissions": {"collections": [of_bob.rpartition("/")[2]]}}
    )
    key = User(client, {"x-api-key": limited.json()["raw_key"]})
    assert (await key.send("GET", path)).json()["total_queries"] == 0


async def test_activity_has_every_day_oldest_first(user: User) -> None:
    path = await user.collection()
    await ask(user, path, 3)
    today = datetime.now(UTC).date()
    days = (await user.send("GET", "/api/system/metrics/activity?days=3")).json()
    assert [day["date"] for day in days] == [str(today - timedelta(days=ago)) for ago in (2, 1, 0)]
    assert [day["queries"] for day in days] == [0, 0, 3]
    assert [day["latency"] > 0 for day in days] == [False, False, True]
    assert all(list(day) == ["date", "queries", "latency"] for day in days)
    assert len((await user.send("GET", "/api/system/metrics/activity")).json()) == 7


@pytest.mark.parametrize("days", ["0", "367", "x"])
async def test_a_bad_number_of_days_is_refused(user: User, days: str) -> None:
    assert_vectory_error(await user.send("GET", f"/api/system/metrics/activity?days={days}"), 400)


async def test_a_dropped_collection_counts_no_more(user: User) -> None:
    path = await user.collection()
    await ask(user, path)
    assert (await user.send("GET", "/api/metrics")).json()["total_queries"] == 1
    await ask(user, path)
    await user.send("DELETE", path)
    assert (await user.send("GET", "/api/metrics")).json()["total_queries"] == 0


async def test_figures_go_on_after_a_write_that_failed(user: User) -> None:
    path = await user.collection()
    await ask(user, path)
    with patch.object(QueryStatistics, "add", side_effect=Unavailable("Down.")):
        assert (await user.send("GET", f"{path}/stats")).json()["total_queries"] == 0
    await ask(user, path)
    assert (await user.send("GET", f"{path}/stats")).json()["total_queries"] == 2


@pytest.mark.parametrize("path", ["/api/health", "/api/system/health"])
async def test_health_says_that_the_database_does_not_answer(client: httpx.AsyncClient, path: str) -> None:
    healthy = (await client.get(path)).json()
    assert healthy == {
        "status": "healthy",
        "version": "0.1.0",
        "database": "connected",
        "redis": "not_configured",
    }
    with patch.object(Database, "ping", side_effect=Unavailable("Down.")):
        response = await client.get(path)
    assert response.status_code == 200
    assert response.json() == {**healthy, "status": "degraded", "database": "disconnected"}


async def test_health_does_not_wait_for_a_database_that_hangs(client: httpx.AsyncClient) -> None:
    async def hang(_: Database) -> bool:
        await asyncio.Event().wait()
        raise AssertionError

    with patch.object(Database, "ping", hang), patch("serve.service.system._WITHIN_S", 0.01):
        assert (await client.get("/api/health")).json()["database"] == "disconnected"


@pytest.mark.parametrize("path", ["/api/models", "/api/system/models"])
async def test_models_are_a_bare_array(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).json() == [{"name": "letters-3", "provider": "tests", "dimensions": 3}]


async def test_info_says_what_requests_may_ask_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/system/info")).json() == {
        "name": "Vectoray",
        "version": "0.1.0",
        "capabilities": {
            "search": ["vector", "text", "hybrid"],
            "distance_metrics": ["cosine", "euclidean", "dot_product"],
            "index_types": ["hnsw", "ivfflat", "flat"],
            "embedding_models": ["letters-3"],
            "max_dimension": 64,
            "max_batch_size": 20,
            "max_top_k": 1000,
        },
    }


@pytest.mark.parametrize("path", ["health", "metrics", "system/metrics/activity", "models", "system/info"])
async def test_a_server_that_is_not_local_tells_nobody_without_a_credential(
    strict_client: httpx.AsyncClient, path: str
) -> None:
    assert_vectory_error(await strict_client.get(f"/api/{path}"), 401)
