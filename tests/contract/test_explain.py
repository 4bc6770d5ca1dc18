"""Why a document is found, or not; and that jobs which cannot but wait, or fail, are told as such."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from pipelines.stages import chunk_id
from serve.app import build_app
from serve.service.ingestors import NONE_RUNS, Ingestors
from serve.services import Services
from serve.settings import ServeSettings
from storage.catalog import Database, JobRuns, Worker, Workers
from tests.contract.conftest import close_beside, running
from tests.contract.envelopes import assert_vectory_error
from tests.contract.vectory_client import User, sign_in
from vectoray.client import ExplainedDocument, JobInfo
from vectoray.core.ingestion import JobProgress, job_point_id
from vectoray.core.model import PointBatch

STEPS = ["listed", "fetched", "parsed", "embedded", "stored", "searchable", "found"]
TEXTS = ["aab", "abb", "ccc"]


@pytest.fixture
async def opened(open_services: Callable[[], Awaitable[Services]]) -> AsyncIterator[Services]:
    """Services of another gateway, beside the same catalog and engine."""
    services = await open_services()
    yield services
    await close_beside(services)


@pytest.fixture
async def database(client: httpx.AsyncClient, database_url: str) -> AsyncIterator[Database]:
    """As an ingestor opens it."""
    database = await Database.open(database_url)
    yield database
    await database.dispose()


async def new_job(user: User, path: str, name: str = "notes.md") -> dict[str, Any]:
    collection_id = path.rpartition("/")[2]
    upload = await user.client.post(
        "/api/ingestion/upload",
        files={"file": (name, b"# Notes\n")},
        data={"collection_id": collection_id},
        headers=user.headers,
    )
    made = await user.send("POST", f"/api/ingestion/jobs?collection_id={collection_id}", upload.json())
    assert made.status_code == 201, made.text
    job: dict[str, Any] = made.json()
    return job


async def run(database: Database, opened: Services, job: dict[str, Any]) -> None:
    """Complete a job, as an ingestor does."""
    runs, now = JobRuns(database), datetime.now(UTC)
    claim = await runs.claim_next("worker", now, now + timedelta(minutes=1))
    assert claim is not None
    await runs.progress(claim, JobProgress(len(TEXTS)), now)
    await write(opened, job["collection_id"], [job_point_id(job["id"], index) for index in range(3)])
    assert await runs.finish(claim, JobProgress(3, 3), now)


async def write(opened: Services, collection_id: str, ids: list[str], source: str = "notes.md") -> None:
    collection = await opened.catalog.by_id(collection_id)
    assert collection is not None
    batch = PointBatch(
        ids=ids,
        vectors=np.array([[text.count(letter) for letter in "abc"] for text in TEXTS], dtype=np.float32),
        payloads=[b'{"source": "%s", "chunk_index": %d}' % (source.encode(), at) for at in range(3)],
        texts=TEXTS,
    )
    await opened.engine.write(collection, batch)


async def explained(user: User, path: str, source: str, **more: str) -> list[dict[str, Any]]:
    answer = await user.client.get(f"{path}/explain", params={"source": source, **more}, headers=user.headers)
    assert answer.status_code == 200, answer.text
    documents: list[dict[str, Any]] = answer.json()["documents"]
    for document in documents:
        assert [step["step"] for step in document["steps"]] == STEPS
    return documents


def answers(document: dict[str, Any]) -> list[str]:
    return [step["answer"] for step in document["steps"]]


async def test_a_job_is_explained_by_its_id_and_by_its_files_name(
    user: User, opened: Services, database: Database
) -> None:
    path = await user.collection()
    job = await new_job(user, path)
    [waiting] = await explained(user, path, job["id"])
    assert (waiting["status"], answers(waiting)) == ("pending", ["yes", "yes", *["no"] * 5])
    assert waiting["steps"][2]["reason"] == NONE_RUNS
    await run(database, opened, job)
    [document] = await explained(user, path, "notes.md")
    assert [document] == await explained(user, path, job["id"])
    assert (document["job_id"], document["status"], document["tries"]) == (job["id"], "completed", 1)
    assert (document["chunks"], answers(document)) == (3, ["yes"] * 7)
    assert sum(shard["chunks"] for shard in document["shards"]) == 3

    # What the client reads of both.
    assert ExplainedDocument.from_json(document).is_found
    assert (JobInfo.from_json(job).file_name, JobInfo.from_json(job).is_finished) == ("notes.md", False)

    gone = await user.send("DELETE", f"{path}/vectors/{job_point_id(job['id'], 1)}")
    assert gone.is_success
    [document] = await explained(user, path, "notes.md")
    assert answers(document) == [*["yes"] * 5, "no", "yes"]
    assert document["steps"][5]["reason"].endswith("deleted since, or never stored: 1.")


async def test_a_file_of_the_command_line_is_explained_by_its_path_and_by_its_uri(
    user: User, opened: Services
) -> None:
    path = await user.collection()
    uri = "file:///docs/guide/a.md"
    ids = [chunk_id(uri, index) for index in range(3)]
    await write(opened, path.rpartition("/")[2], ids, source="guide/a.md")
    [by_path] = await explained(user, path, "guide/a.md")
    [by_uri] = await explained(user, path, "./a.md", uri=uri)
    for document in (by_path, by_uri):
        assert answers(document) == ["yes"] * 7
        assert sum(shard["chunks"] for shard in document["shards"]) == 3
    [unknown] = await explained(user, path, "./a.md")
    assert answers(unknown) == [*["unknown"] * 5, "no", "no"]


async def test_a_chunk_that_others_hide_is_told(user: User, opened: Services) -> None:
    path = await user.collection(distance_metric="dot_product")
    ids = [chunk_id("file:///a.md", index) for index in range(3)]
    await write(opened, path.rpartition("/")[2], ids, source="a.md")
    await user.insert(path, *[{"vector": [9, 9, 0]} for _ in range(10)])
    [document] = await explained(user, path, "a.md")
    assert answers(document)[-1] == "no"
    assert "not among the first hits: 0, 1." in document["steps"][-1]["reason"]


async def test_an_explanation_is_for_whoever_may_see_the_collection(
    client: httpx.AsyncClient, user: User
) -> None:
    path = await user.collection()
    job = await new_job(user, path)
    other = await sign_in(client, "bob@example.com")
    assert_vectory_error(await other.send("GET", f"{path}/explain?source={job['id']}"), 404)
    mine = await other.collection()
    [unknown] = await explained(other, mine, job["id"])
    assert (unknown["job_id"], answers(unknown)[0]) == (None, "unknown")
    assert_vectory_error(await user.send("GET", f"{path}/explain"), 400)


async def test_a_collection_without_a_model_gets_no_job(user: User, opened: Services) -> None:
    path = await user.collection(dimension=2)
    collection_id = path.rpartition("/")[2]
    body = {"file_path": f"uploads/{uuid4()}"}
    refused = await user.send("POST", f"/api/ingestion/jobs?collection_id={collection_id}", body)
    assert_vectory_error(refused, 400)
    assert "has no embedding model" in refused.json()["detail"]


@pytest.mark.parametrize("again", ["retry", "re-ingest"])
async def test_a_job_whose_model_is_gone_is_not_run_again(
    settings: ServeSettings, user: User, open_services: Callable[[], Awaitable[Services]], again: str
) -> None:
    job = await new_job(user, await user.collection())
    assert (await user.send("DELETE", f"/api/ingestion/jobs/{job['id']}")).is_success

    async def without_models() -> Services:
        services = await open_services()
        return replace(services, jobs=replace(services.jobs, models=[]))

    async with running(build_app(settings, open_services=without_models, anonymous_allowed=True)) as client:
        refused = await client.post(f"/api/ingestion/jobs/{job['id']}/{again}", headers=user.headers)
    assert_vectory_error(refused, 400)
    assert "which this server does not have" in refused.json()["detail"]


async def test_a_server_says_that_its_ingestors_are_gone(
    settings: ServeSettings,
    user: User,
    open_services: Callable[[], Awaitable[Services]],
    database: Database,
) -> None:
    job = await new_job(user, await user.collection())

    async def with_ingestors() -> Services:
        services = await open_services()
        expected = Ingestors(Workers(services.catalog.database), expected=True)
        return replace(
            services,
            jobs=replace(services.jobs, ingestors=expected),
            system=replace(services.system, ingestors=expected),
            server_status=replace(services.server_status, ingestors=expected),
        )

    async with running(build_app(settings, open_services=with_ingestors, anonymous_allowed=True)) as client:

        async def told() -> tuple[str, str, str | None]:
            health = (await client.get("/api/health")).json()
            status = (await client.get("/api/v1/system/status", headers=user.headers)).json()
            seen = (await client.get(f"/api/ingestion/jobs/{job['id']}", headers=user.headers)).json()
            assert seen["status"] == "pending"
            return health["status"], status["status"], seen["error_message"]

        assert await told() == ("degraded", "degraded", NONE_RUNS)
        now = datetime.now(UTC)
        await Workers(database).beat(Worker("w", now, now, 0), [], now)
        assert await told() == ("healthy", "healthy", None)
        await Workers(database).beat(Worker("w", now, now - timedelta(minutes=1), 0), [], now)
        assert await told() == ("degraded", "degraded", NONE_RUNS)
