"""Uploads and ingestion jobs in the Vectory API: what is accepted and stored, and how jobs are told."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import orjson
import pytest

from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from storage.catalog import Database, JobClaim, JobRuns
from tests.contract.conftest import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, close_beside, running
from tests.contract.envelopes import assert_vectory_error
from tests.contract.test_accounts import bearer, log_in, make_collection, make_key
from vectoray.core.ingestion import JobProgress, job_point_id
from vectoray.core.model import PointBatch

API = "/api/ingestion"
UPLOAD_FIELDS = ["file_path", "file_name", "file_size", "file_type", "collection_id"]
JOB_FIELDS = [
    "id",
    "collection_id",
    "status",
    "file_path",
    "file_name",
    "file_size",
    "file_type",
    "total_chunks",
    "processed_chunks",
    "failed_chunks",
    "error_message",
    "config",
    "created_by",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
]
CONFIG = {"chunking_strategy": "sentence", "chunk_size": 500, "chunk_overlap": 50}
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
HEADERS = dict[str, str]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    return buffer.getvalue()


@pytest.fixture
async def ann(client: httpx.AsyncClient) -> HEADERS:
    return bearer((await log_in(client))["access_token"])


@pytest.fixture
async def bob(client: httpx.AsyncClient) -> HEADERS:
    return bearer((await log_in(client, "bob@example.com"))["access_token"])


@pytest.fixture
async def docs(client: httpx.AsyncClient, ann: HEADERS) -> str:
    """The UUID of a collection of Ann's."""
    return await make_collection(client, "docs", ann, dimension=3)


@pytest.fixture
async def runner(client: httpx.AsyncClient, database_url: str) -> AsyncIterator[JobRuns]:
    """What runs jobs: another process with the same catalog."""
    database = await Database.open(database_url)
    yield JobRuns(database)
    await database.dispose()


async def send(
    client: httpx.AsyncClient,
    headers: HEADERS,
    collection_id: str | None,
    *,
    name: str = "notes.md",
    content: bytes = b"# Notes\n",
) -> httpx.Response:
    data = {} if collection_id is None else {"collection_id": collection_id}
    return await client.post(f"{API}/upload", files={"file": (name, content)}, data=data, headers=headers)


async def uploaded(client: httpx.AsyncClient, headers: HEADERS, collection_id: str) -> dict[str, Any]:
    response = await send(client, headers, collection_id)
    assert response.status_code == 200, response.text
    upload: dict[str, Any] = response.json()
    return upload


async def create(
    client: httpx.AsyncClient, headers: HEADERS, upload: dict[str, Any], **body: Any
) -> httpx.Response:
    query = {"collection_id": upload["collection_id"]}
    sent = {**upload, **body}
    return await client.post(f"{API}/jobs", params=query, json=sent, headers=headers)


async def created(
    client: httpx.AsyncClient, headers: HEADERS, upload: dict[str, Any], **body: Any
) -> dict[str, Any]:
    response = await create(client, headers, upload, **body)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


@pytest.fixture
async def job(client: httpx.AsyncClient, ann: HEADERS, docs: str) -> dict[str, Any]:
    return await created(client, ann, await uploaded(client, ann, docs))


async def claimed(runner: JobRuns, job: dict[str, Any]) -> JobClaim:
    """The run that the job begins."""
    now = datetime.now(UTC)
    found = await runner.claim_next("worker", now, now + timedelta(minutes=1))
    assert found is not None
    assert found.job.id == job["id"]
    return found


async def state(client: httpx.AsyncClient, headers: HEADERS, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"{API}/jobs/{job['id']}", headers=headers)).json()
    return found


async def test_an_upload_answers_what_was_stored(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, tmp_path: Path
) -> None:
    response = await send(client, ann, docs, name="Überblick (2).pdf", content=PDF)
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == UPLOAD_FIELDS
    assert (answer["file_name"], answer["file_size"]) == ("Überblick (2).pdf", len(PDF))
    assert (answer["file_type"], answer["collection_id"]) == ("pdf", docs)
    [stored] = (tmp_path / "uploads").iterdir()
    assert stored.read_bytes() == PDF
    assert stored.name == answer["file_path"].removeprefix("uploads/")
    assert str(UUID(stored.name)) == stored.name


GOOD_FILES = {
    "a.pdf": PDF,
    "a.docx": zipped(),
    "a.txt": b"text",
    "a.csv": b"a,b\n1,2\n",
    "a.json": b"{}",
    "a.jsonl": b"{}\n{}\n",
    "a.md": b"# a",
    "A.HTML": b"<p>a",
    "utf-16.txt": "text".encode("utf-16"),
}


@pytest.mark.parametrize(("name", "content"), GOOD_FILES.items(), ids=GOOD_FILES)
async def test_files_of_every_type_are_taken(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, name: str, content: bytes
) -> None:
    response = await send(client, ann, docs, name=name, content=content)
    assert response.status_code == 200, response.text
    assert response.json()["file_type"] == name.rpartition(".")[2].lower()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/passwd.txt", "passwd.txt"), ("C:\\fakepath\\a b.txt", "a b.txt"), ("/x/.txt.md", ".txt.md")],
)
async def test_of_a_path_only_the_name_is_kept(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, sent: str, kept: str
) -> None:
    response = await send(client, ann, docs, name=sent)
    assert response.status_code == 200, response.text
    assert response.json()["file_name"] == kept


BAD_FILES = {
    "a PDF that is a ZIP": ("a.pdf", zipped()),
    "a PDF that is text": ("a.pdf", b"Hello"),
    "a DOCX that is a PDF": ("a.docx", PDF),
    "a text that is a PDF": ("a.txt", PDF),
    "a text that is a ZIP": ("a.md", zipped()),
    "a text with NUL": ("a.csv", b"a\0b"),
    "nothing in it": ("a.txt", b""),
    "another type": ("a.exe", b"MZ"),
    "no type": ("a", b"text"),
    "only a type": (".txt", b"text"),
    "a folder": ("a.txt/", b"text"),
    "a long name": ("x" * 252 + ".txt", b"text"),
    "a control character": ("a\u202etxt.txt", b"text"),
}


@pytest.mark.parametrize(("name", "content"), BAD_FILES.values(), ids=BAD_FILES)
async def test_of_a_file_that_is_refused_nothing_is_left(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, tmp_path: Path, *, name: str, content: bytes
) -> None:
    assert_vectory_error(await send(client, ann, docs, name=name, content=content), 400)
    assert list((tmp_path / "uploads").iterdir()) == []


def part(name: str, content: str, *, file_name: str | None = None) -> str:
    file = "" if file_name is None else f'; filename="{file_name}"'
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{content}\r\n'


FILE = part("file", "text", file_name="a.txt")
BAD_FORMS = {
    "nothing": "",
    "no form": "text",
    "no end": FILE + part("collection_id", "ID"),
    "no file": part("collection_id", "ID") + "--B--\r\n",
    "a field as file": part("file", "text") + part("collection_id", "ID") + "--B--\r\n",
    "no collection": FILE + "--B--\r\n",
    "two files": FILE + FILE + part("collection_id", "ID") + "--B--\r\n",
    "two collections": part("collection_id", "ID") * 2 + FILE + "--B--\r\n",
    "many parts": part("x", "") * 40 + FILE + part("collection_id", "ID") + "--B--\r\n",
    "no name": "--B\r\nContent-Disposition: form-data\r\n\r\n\r\n--B--\r\n",
}
FORM = "multipart/form-data; boundary=B"


@pytest.mark.parametrize("form", BAD_FORMS.values(), ids=BAD_FORMS)
async def test_a_bad_form_is_refused(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, tmp_path: Path, form: str
) -> None:
    headers = {**ann, "content-type": FORM}
    response = await client.post(f"{API}/upload", content=form.replace("ID", docs), headers=headers)
    assert_vectory_error(response, 400)
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain; boundary=B"])
async def test_what_is_no_form_is_refused(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, kind: str
) -> None:
    form = FILE + part("collection_id", docs) + "--B--\r\n"
    response = await client.post(f"{API}/upload", content=form, headers={**ann, "content-type": kind})
    assert_vectory_error(response, 400)


@pytest.mark.parametrize("collection_first", [True, False])
async def test_fields_come_in_any_order_and_others_are_passed_over(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, *, collection_first: bool
) -> None:
    collection, other = part("collection_id", docs), part("other", "x" * 1000)
    form = collection + other + FILE if collection_first else other + FILE + collection

    async def byte_by_byte() -> AsyncIterator[bytes]:
        for byte in (form + "--B--\r\n").encode():
            yield bytes((byte,))

    headers = {**ann, "content-type": FORM}
    response = await client.post(f"{API}/upload", content=byte_by_byte(), headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["file_size"] == 4


async def test_a_file_may_be_larger_than_other_bodies_but_not_than_its_own_limit(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, tmp_path: Path
) -> None:
    assert MAX_UPLOAD_BYTES > MAX_BODY_BYTES
    largest = await send(client, ann, docs, content=b"a" * MAX_UPLOAD_BYTES)
    assert largest.json()["file_size"] == MAX_UPLOAD_BYTES
    assert_vectory_error(await send(client, ann, docs, content=b"a" * (MAX_UPLOAD_BYTES + 1)), 413)
    assert_vectory_error(await send(client, ann, docs, content=b"a" * 2 * MAX_UPLOAD_BYTES), 413)

    async def unannounced() -> AsyncIterator[bytes]:
        yield FILE.encode()[:-2]
        for _ in range(2 * MAX_UPLOAD_BYTES // 50_000):
            yield b"a" * 50_000

    headers = {**ann, "content-type": FORM}
    response = await client.post(f"{API}/upload", content=unannounced(), headers=headers)
    assert_vectory_error(response, 413)
    assert len(list((tmp_path / "uploads").iterdir())) == 1


async def slow_upload(
    open_services: Callable[[], Awaitable[Services]], settings: ServeSettings, pause_s: float
) -> httpx.Response:
    app = build_app(settings, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client:
        collection_id = await make_collection(client, "slow", {}, dimension=3)
        form = (FILE + part("collection_id", collection_id) + "--B--\r\n").encode()

        async def slowly() -> AsyncIterator[bytes]:
            for start in range(0, len(form), len(form) // 8):
                yield form[start : start + len(form) // 8]
                await asyncio.sleep(pause_s)

        return await client.post(f"{API}/upload", content=slowly(), headers={"content-type": FORM})


@pytest.mark.parametrize(
    ("pause_s", "upload_timeout_s", "status"), [(0.3, 60, 200), (0.3, 0.5, 503), (60, 60, 503)]
)
async def test_an_upload_takes_its_time_while_bytes_come(
    open_services: Callable[[], Awaitable[Services]], pause_s: float, upload_timeout_s: float, status: int
) -> None:
    # Enough for opening the services on a busy machine, and less than eight pauses.
    settings = ServeSettings(request_timeout_s=2, upload_timeout_s=upload_timeout_s)
    response = await slow_upload(open_services, settings, pause_s)
    assert response.status_code == status, response.text


async def test_who_may_upload_where(
    client: httpx.AsyncClient,
    *,
    strict_client: httpx.AsyncClient,
    ann: HEADERS,
    bob: HEADERS,
    docs: str,
    tmp_path: Path,
) -> None:
    assert_vectory_error(await send(strict_client, {}, docs), 401)
    assert_vectory_error(await send(client, {}, docs), 404)
    assert_vectory_error(await send(client, bob, docs), 404)
    assert_vectory_error(await send(client, ann, str(uuid4())), 404)
    assert_vectory_error(await send(client, ann, "docs"), 404)
    reading = await make_key(client, ann, permissions={"scopes": ["read"]})
    assert_vectory_error(await send(client, {"x-api-key": reading["raw_key"]}, docs), 403)
    assert list((tmp_path / "uploads").iterdir()) == []
    mine = await make_collection(client, "mine", {}, dimension=3)
    assert (await send(client, {}, mine)).status_code == 200


async def test_a_new_job_is_pending(client: httpx.AsyncClient, ann: HEADERS, docs: str) -> None:
    upload = await uploaded(client, ann, docs)
    job = await created(client, ann, upload, config=CONFIG)
    assert list(job) == JOB_FIELDS
    assert str(UUID(job["id"])) == job["id"]
    assert {key: job[key] for key in UPLOAD_FIELDS} == upload
    assert (job["status"], job["config"]) == ("pending", CONFIG)
    assert (job["total_chunks"], job["processed_chunks"], job["failed_chunks"]) == (0, 0, 0)
    assert (job["error_message"], job["started_at"], job["completed_at"]) == (None, None, None)
    assert job["created_by"] == (await client.get("/api/auth/me", headers=ann)).json()["id"]
    assert job["created_at"] == job["updated_at"]
    assert job["created_at"].endswith("Z")
    assert await state(client, ann, job) == job


async def test_what_a_config_leaves_out_is_the_default(
    client: httpx.AsyncClient, ann: HEADERS, docs: str
) -> None:
    upload = await uploaded(client, ann, docs)
    body = {"file_path": upload["file_path"], "config": {"chunk_size": 800, "chunk_overlap": None}}
    job = await client.post(f"{API}/jobs?collection_id={docs}", json=body, headers=ann)
    assert job.json()["config"] == {**CONFIG, "chunk_size": 800}
    assert (await created(client, ann, upload, config=None))["config"] == CONFIG
    assert (await created(client, ann, upload, config={}))["config"] == CONFIG


BAD_CONFIGS: dict[str, tuple[Any, str]] = {
    "strategy": ({"chunking_strategy": "magic"}, "chunking_strategy"),
    "size 0": ({"chunk_size": 0}, "chunk_size"),
    "huge size": ({"chunk_size": 100_001}, "chunk_size"),
    "text size": ({"chunk_size": "500"}, "chunk_size"),
    "overlap below 0": ({"chunk_overlap": -1}, "chunk_overlap"),
    "overlap like size": ({"chunk_size": 500, "chunk_overlap": 500}, "chunk_overlap"),
    "overlap over the default size": ({"chunk_overlap": 600}, "chunk_overlap"),
    "unknown key": ({"chunk_sise": 500}, "chunk_sise"),
    "list": ([], "config"),
}


@pytest.mark.parametrize(("config", "named"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
async def test_a_bad_config_is_refused_by_name(
    client: httpx.AsyncClient, ann: HEADERS, docs: str, config: Any, named: str
) -> None:
    response = await create(client, ann, await uploaded(client, ann, docs), config=config)
    assert_vectory_error(response, 400)
    assert named in response.json()["detail"]


async def test_a_file_path_names_an_upload_of_ones_own_for_this_collection(
    client: httpx.AsyncClient, ann: HEADERS, bob: HEADERS, docs: str
) -> None:
    upload = await uploaded(client, ann, docs)
    stored = upload["file_path"].removeprefix("uploads/")
    others = await uploaded(client, bob, await make_collection(client, "docs", bob, dimension=3))
    elsewhere = await uploaded(client, ann, await make_collection(client, "other", ann, dimension=3))
    wrong = ["/etc/passwd", "../catalog.db", stored, f"uploads/{uuid4()}", f"uploads/../uploads/{stored}", ""]
    wrong += [f"{upload['file_path']}/", others["file_path"], elsewhere["file_path"]]
    for file_path in wrong:
        response = await create(client, ann, upload, file_path=file_path)
        assert_vectory_error(response, 400)
        assert response.json()["detail"].startswith("'file_path' names no upload of yours")
    response = await client.post(f"{API}/jobs?collection_id={docs}", json={}, headers=ann)
    assert_vectory_error(response, 400)
    response = await client.post(f"{API}/jobs", json=upload, headers=ann)
    assert_vectory_error(response, 400)


async def test_jobs_are_listed_newest_first(
    client: httpx.AsyncClient, ann: HEADERS, bob: HEADERS, docs: str, job: dict[str, Any]
) -> None:
    other = await uploaded(client, ann, await make_collection(client, "other", ann, dimension=3))
    second, third = [await created(client, ann, other) for _ in range(2)]
    await client.delete(f"{API}/jobs/{second['id']}", headers=ann)
    second = await state(client, ann, second)

    async def listed(query: str, headers: HEADERS = ann) -> Any:
        response = await client.get(f"{API}/jobs{query}", headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    assert await listed("") == {"items": [third, second, job], "total": 3}
    assert await listed("?skip=1&limit=1") == {"items": [second], "total": 3}
    assert await listed(f"?collection_id={docs}") == {"items": [job], "total": 1}
    assert await listed("?status_filter=cancelled") == {"items": [second], "total": 1}
    assert await listed("", bob) == {"items": [], "total": 0}
    assert await listed("", {}) == {"items": [], "total": 0}
    limited = await make_key(client, ann, permissions={"scopes": ["read"], "collections": [docs]})
    assert await listed("", {"x-api-key": limited["raw_key"]}) == {"items": [job], "total": 1}
    for query in ("status_filter=done", "skip=-1", "limit=0", "limit=1001", "limit=x"):
        assert_vectory_error(await client.get(f"{API}/jobs?{query}", headers=ann), 400)
    unseen = await client.get(f"{API}/jobs?collection_id={docs}", headers=bob)
    assert_vectory_error(unseen, 404)


async def test_a_job_is_cancelled_once(client: httpx.AsyncClient, ann: HEADERS, job: dict[str, Any]) -> None:
    path = f"{API}/jobs/{job['id']}"
    response = await client.delete(path, headers=ann)
    assert (response.status_code, response.content) == (204, b"")
    now = await state(client, ann, job)
    assert now["status"] == "cancelled"
    assert now["completed_at"] == now["updated_at"]
    again = await client.delete(path, headers=ann)
    assert_vectory_error(again, 409)
    assert again.json()["detail"] == "The job is cancelled; it cannot be cancelled."


async def test_a_failed_job_is_retried_and_others_are_not(
    client: httpx.AsyncClient, ann: HEADERS, job: dict[str, Any], runner: JobRuns
) -> None:
    retry = f"{API}/jobs/{job['id']}/retry"
    assert_vectory_error(await client.post(retry, headers=ann), 409)
    run, now = await claimed(runner, job), datetime.now(UTC)
    assert_vectory_error(await client.post(retry, headers=ann), 409)
    assert await runner.fail(run, "The document has no text.", now)
    assert (await state(client, ann, job))["error_message"] == "The document has no text."
    response = await client.post(retry, headers=ann)
    assert response.status_code == 200
    assert response.json() == {**job, "updated_at": response.json()["updated_at"]}
    assert await runner.finish(await claimed(runner, job), JobProgress(2, 2), now)
    assert_vectory_error(await client.post(retry, headers=ann), 409)


REINGESTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no body": (None, {}),
    "empty": ({}, {}),
    "config": ({"config": {"chunk_size": 800}}, {"chunk_size": 800}),
    "at the top": ({"chunking_strategy": "paragraph"}, {"chunking_strategy": "paragraph"}),
    "null": ({"config": None}, {}),
}


@pytest.mark.parametrize(("body", "changed"), REINGESTS.values(), ids=REINGESTS)
async def test_a_finished_job_is_ingested_again(
    client: httpx.AsyncClient,
    *,
    ann: HEADERS,
    job: dict[str, Any],
    runner: JobRuns,
    body: Any,
    changed: dict[str, Any],
) -> None:
    path = f"{API}/jobs/{job['id']}/re-ingest"
    assert_vectory_error(await client.post(path, headers=ann), 409)
    await runner.finish(await claimed(runner, job), JobProgress(2, 2), datetime.now(UTC))
    bad = await client.post(path, json={"config": {"chunk_overlap": 900}}, headers=ann)
    assert_vectory_error(bad, 400)
    unknown = await client.post(path, json={"chunk_sise": 900}, headers=ann)
    assert_vectory_error(unknown, 400)
    response = (
        await client.post(path, json=body, headers=ann)
        if body is not None
        else await client.post(path, headers=ann)
    )
    assert response.status_code == 200, response.text
    again = response.json()
    assert again == {**job, "config": {**CONFIG, **changed}, "updated_at": again["updated_at"]}
    assert (await claimed(runner, job)).job.run == 2


async def write_points(engine: Engine, services: Services, job: dict[str, Any], indexes: list[int]) -> None:
    collection = await services.catalog.by_id(job["collection_id"])
    assert collection is not None
    rows = len(indexes)
    batch = PointBatch(
        ids=[job_point_id(job["id"], index) for index in indexes],
        vectors=np.ones((rows, 3), dtype=np.float32),
        payloads=[b'{"page": 1}'] * rows,
        texts=[f"chunk {index}" for index in indexes],
        sources=["notes.md"] * rows,
        chunk_indexes=indexes,
    )
    await engine.write(collection, batch)


async def test_a_jobs_vectors_are_its_own_in_the_order_of_the_document(
    client: httpx.AsyncClient,
    *,
    ann: HEADERS,
    docs: str,
    job: dict[str, Any],
    runner: JobRuns,
    engine: Engine,
    open_services: Callable[[], Awaitable[Services]],
) -> None:
    path = f"{API}/jobs/{job['id']}/vectors"
    assert (await client.get(path, headers=ann)).json() == {"items": [], "total": 0}
    twin = await created(client, ann, await uploaded(client, ann, docs))
    run = await claimed(runner, job)
    await runner.progress(run, JobProgress(total_chunks=4), datetime.now(UTC))
    services = await open_services()
    await write_points(engine, services, job, [0, 1, 3, 7])
    await write_points(engine, services, twin, [0, 2])
    await close_beside(services)
    found = (await client.get(path, headers=ann)).json()
    assert found["total"] == 4
    assert [item["chunk_index"] for item in found["items"]] == [0, 1, 3]
    first = found["items"][0]
    assert list(first) == [
        "id",
        "collection_id",
        "metadata",
        "text_content",
        "source_file",
        "chunk_index",
        "created_at",
    ]
    assert first["id"] == job_point_id(job["id"], 0)
    assert (first["metadata"], first["text_content"], first["source_file"]) == (
        {"page": 1},
        "chunk 0",
        "notes.md",
    )
    assert first["created_at"].endswith("Z")
    page = (await client.get(f"{path}?skip=1&limit=2", headers=ann)).json()
    assert page == {"items": [found["items"][1]], "total": 4}
    assert (await client.get(f"{path}?skip=9", headers=ann)).json() == {"items": [], "total": 4}


def events(body: str) -> list[Any]:
    frames = [one for one in body.split("\n\n") if one and not one.startswith(":")]
    assert all(one.startswith("data: ") for one in frames)
    return [orjson.loads(one.removeprefix("data: ")) for one in frames]


async def test_progress_is_told_at_once_and_ends_with_the_job(
    client: httpx.AsyncClient, ann: HEADERS, job: dict[str, Any], runner: JobRuns
) -> None:
    path, now = f"{API}/jobs/{job['id']}/progress", datetime.now(UTC)
    following = asyncio.create_task(client.get(path, headers=ann))
    run = await claimed(runner, job)
    await runner.progress(run, JobProgress(10, 4, 1), now)
    await runner.finish(run, JobProgress(10, 9, 1), now)
    response = await asyncio.wait_for(following, 20)
    assert response.headers["content-type"] == "text/event-stream"
    told = events(response.text)
    assert list(told[0]) == [
        "job_id",
        "status",
        "total_chunks",
        "processed_chunks",
        "failed_chunks",
        "progress_pct",
    ]
    assert (told[-1]["status"], told[-1]["progress_pct"]) == ("completed", 100.0)
    assert told[-1]["processed_chunks"] == 9
    again = await client.get(path, headers=ann)
    assert events(again.text) == told[-1:]


async def test_with_its_collection_a_job_is_gone(
    client: httpx.AsyncClient, ann: HEADERS, job: dict[str, Any], runner: JobRuns
) -> None:
    run = await claimed(runner, job)
    assert (await client.delete("/api/v1/collections/docs", headers=ann)).is_success
    for rest in ("", "/progress", "/vectors"):
        assert_vectory_error(await client.get(f"{API}/jobs/{job['id']}{rest}", headers=ann), 404)
    assert (await client.get(f"{API}/jobs", headers=ann)).json() == {"items": [], "total": 0}
    assert not await runner.progress(run, JobProgress(1), datetime.now(UTC))


OPERATIONS: dict[str, tuple[str, str]] = {
    "get": ("GET", ""),
    "progress": ("GET", "/progress"),
    "vectors": ("GET", "/vectors"),
    "cancel": ("DELETE", ""),
    "retry": ("POST", "/retry"),
    "re-ingest": ("POST", "/re-ingest"),
}
SIGNED_IN = {"cancel", "retry"}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_job_is_there_only_for_whom_its_collection_is(
    client: httpx.AsyncClient,
    *,
    strict_client: httpx.AsyncClient,
    ann: HEADERS,
    bob: HEADERS,
    docs: str,
    job: dict[str, Any],
    operation: str,
) -> None:
    verb, rest = OPERATIONS[operation]
    path = f"{API}/jobs/{job['id']}{rest}"
    assert_vectory_error(await client.request(verb, path, headers=bob), 404)
    anonymous = await client.request(verb, path)
    assert_vectory_error(anonymous, 401 if operation in SIGNED_IN else 404)
    assert_vectory_error(await strict_client.request(verb, path), 401)
    for job_id in (str(uuid4()), "x" * 300):
        response = await client.request(verb, f"{API}/jobs/{job_id}{rest}", headers=ann)
        assert_vectory_error(response, 404)
    other = await make_collection(client, "other", ann, dimension=3)
    elsewhere = await make_key(client, ann, permissions={"scopes": ["write"], "collections": [other]})
    response = await client.request(verb, path, headers={"x-api-key": elsewhere["raw_key"]})
    assert_vectory_error(response, 404)
    if verb != "GET":
        reading = await make_key(client, ann, permissions={"scopes": ["read"]})
        response = await client.request(verb, path, headers={"x-api-key": reading["raw_key"]})
        assert_vectory_error(response, 403)


async def test_who_may_create_a_job(
    client: httpx.AsyncClient, strict_client: httpx.AsyncClient, ann: HEADERS, bob: HEADERS, docs: str
) -> None:
    upload = await uploaded(client, ann, docs)
    assert_vectory_error(await create(client, bob, upload), 404)
    assert_vectory_error(await create(client, {}, upload), 404)
    assert_vectory_error(await create(strict_client, {}, upload), 401)
    reading = await make_key(client, ann, permissions={"scopes": ["read"]})
    assert_vectory_error(await create(client, {"x-api-key": reading["raw_key"]}, upload), 403)
    mine = await uploaded(client, {}, await make_collection(client, "mine", {}, dimension=3))
    assert (await created(client, {}, mine))["created_by"] == "local"


async def test_the_templates(client: httpx.AsyncClient, ann: HEADERS, docs: str) -> None:
    templates = (await client.get(f"{API}/templates")).json()
    assert [template["id"] for template in templates] == ["rag", "semantic-search", "faq"]
    upload = await uploaded(client, ann, docs)
    for template in templates:
        assert list(template) == ["id", "name", "description", "config"]
        job = await created(client, ann, upload, config=template["config"])
        assert job["config"] == template["config"]
