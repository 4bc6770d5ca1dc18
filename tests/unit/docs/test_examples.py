"""The examples in the documentation do what the page says: each is sent to the real application."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from cluster.local_engine import LocalEngine
from pipelines.chunk import chunk
from pipelines.parse import MediaType, parse
from pipelines.stages import chunks_of
from pipelines.url_chunks import NewChunks, replace_chunks
from scripts.transcripts import page as pages
from scripts.transcripts.openapi_examples import openapi_examples
from serve.app import SURFACES, build_app
from serve.machine import Machine
from serve.service.limits import CollectionDefaults, Limits
from serve.service.server_status import Chunking
from serve.services import Services
from serve.settings import ServeSettings
from serve.surface import Surface
from serve.surfaces.kissvdb import errors as kissvdb
from serve.surfaces.vectorizer.errors import FAILED_OPERATION, HTTP_CODES, STATUS_AND_CODE
from serve.surfaces.webcontent.surface import WEBCONTENT
from storage.blobs import Blobs
from storage.catalog import Catalog, ProjectUrls
from storage.events import EventLog
from tests.contract.conftest import quick_credentials, running
from tests.unit.docs.markdown import ROOT, calls, examples
from vectoray.core.model import FloatMatrix
from vectoray.core.projects import UrlStatus
from vectoray.embedding import describe_model, load_model

FAMILY_PAGES = ROOT / "docs" / "api"
PAGE = (
    "A vector database finds what is similar in meaning.",
    "It keeps vectors in a graph, and walks from neighbour to neighbour.",
)
"""What is at the URL in docs/api/webcontent.md."""

SERVER = "http://127.0.0.1:8000"
MODEL = describe_model("all-MiniLM-L6-v2")

# What differs from run to run: only the type of these is compared. The model here is a quick one, so what it
# says of a text differs too.
VOLATILE = {"uptime", "version", "query_time_ms", "latency_ms"}
VOLATILE_IN = {
    "vectorizer": VOLATILE,
    "vectory": VOLATILE
    | {"score", "distance", "vector_score", "text_score"}
    | {"date", "queries", "latency", "total_queries", "avg_query_latency_ms", "avg_latency_ms"},
    "kiss-vdb": VOLATILE | {"uptime_s", "created_at_ms", "updated_at_ms"},
    "webcontent": {"similarity_score", "cpu_usage", "memory_usage", "disk_usage"},
}
# What nobody can know beforehand, and is sent again later.
SECRETS = {"access_token", "refresh_token", "raw_key", "share_token"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class QuickModel:
    """Stands in for the model that the pages are about, which takes seconds to load."""

    def __init__(self, cache_dir: Path) -> None:
        self._model = load_model("hashing-384", cache_dir=cache_dir)

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        assert model == MODEL.name
        return self._model.embed(texts)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def model(tmp_path: Path) -> QuickModel:
    return QuickModel(tmp_path)


@pytest.fixture
def opened() -> list[Services]:
    """The services of the server, once it has answered something."""
    return []


@pytest.fixture
async def client(
    tmp_path: Path, database_url: str, model: QuickModel, opened: list[Services]
) -> AsyncIterator[httpx.AsyncClient]:
    """A server as `vectoray up` configures it, but for Ray and the model."""

    async def open_services() -> Services:
        services = await Services.open(
            catalog=await Catalog.open(database_url),
            engine=LocalEngine(tmp_path / "data"),
            embedder=model,
            models=[MODEL],
            defaults=CollectionDefaults(shards=2, embedding_model=MODEL),
            limits=Limits(),
            blobs=Blobs.open(tmp_path / "uploads"),
            chunking=Chunking(max_chars=900, overlap_chars=100),
            machine=Machine(tmp_path),
            **quick_credentials(),
            event_log=EventLog.open(f"sqlite:///{tmp_path / 'events.db'}"),
        )
        opened.append(services)
        return services

    async with running(
        build_app(ServeSettings(), open_services=open_services, anonymous_allowed=True)
    ) as running_client:
        yield running_client


@pytest.fixture
async def notes(client: httpx.AsyncClient, model: QuickModel) -> None:
    """The collection that docs/api/vectory.md asks: one small document, as `vectoray ingest` stores it."""
    document = parse(
        b"# Durability\n\nAn insert that was answered is on the disk.\n", media_type=MediaType.MARKDOWN
    )
    stored = chunks_of("file:///notes/durability.md", "durability.md", document.title, chunk(document))
    vectors = await model.embed(MODEL.name, [piece.embedded for piece in stored])
    body = {"name": "notes", "dimension": MODEL.dimension, "metric": "cosine"}
    await client.post("/api/v1/collections", json=body)
    rows = [
        {"id": piece.id, "vector": vector, "payload": orjson.loads(piece.payload)}
        for piece, vector in zip(stored, vectors.tolist(), strict=True)
    ]
    await client.post("/api/v1/collections/notes/vectors", json={"vectors": rows})


class Reader:
    """Compares answers with what a page shows; the page's UUIDs and secrets stand for those of this run."""

    def __init__(self, volatile: set[str]) -> None:
        self._volatile = volatile
        self._ids: dict[str, str] = {}

    def with_own_ids(self, text: str) -> str:
        for shown, own in self._ids.items():
            text = text.replace(shown, own)
        return text

    def compare(self, shown: Any, got: Any, at: str = "") -> None:
        assert isinstance(got, float) if isinstance(shown, float) else type(got) is type(shown), at
        if isinstance(shown, dict):
            assert list(got) == list(shown), at
            for key, value in shown.items():
                if key in self._volatile:
                    assert isinstance(got[key], type(value)), f"{at}.{key}"
                elif key in SECRETS and value is not None:
                    assert self._ids.setdefault(value, got[key]) == got[key], f"{at}.{key}"
                else:
                    self.compare(value, got[key], f"{at}.{key}")
        elif isinstance(shown, list):
            assert len(got) == len(shown), at
            for row, (one, other) in enumerate(zip(shown, got, strict=True)):
                self.compare(one, other, f"{at}[{row}]")
        elif isinstance(shown, str) and UUID.search(shown):
            assert UUID.sub("", shown) == UUID.sub("", got), at
            for one, other in zip(UUID.finditer(shown), UUID.finditer(got), strict=True):
                assert self._ids.setdefault(one[0], other[0]) == other[0], at
        elif isinstance(shown, str) and TIME.fullmatch(shown):
            assert TIME.fullmatch(got), at
        elif isinstance(shown, float):
            assert got == pytest.approx(shown, rel=1e-5), at
        else:
            assert got == shown, at


@pytest.mark.usefixtures("notes")
async def test_every_answer_in_vectory_is_as_shown(client: httpx.AsyncClient) -> None:
    await _replay("vectory", client)


async def test_every_answer_in_vectorizer_is_as_shown(client: httpx.AsyncClient) -> None:
    await _replay("vectorizer", client)


async def test_every_answer_in_kiss_vdb_is_as_shown(client: httpx.AsyncClient) -> None:
    await _replay("kiss-vdb", client)


async def test_every_answer_in_webcontent_is_as_shown(
    client: httpx.AsyncClient, opened: list[Services], model: QuickModel
) -> None:
    async def store(url: dict[str, Any]) -> None:
        """Do with the page's first URL what the pipeline does."""
        [services] = opened
        urls = ProjectUrls(services.catalog.database)
        pending = (await urls.find([url["url_id"]]))[url["url_id"]]
        collection = await services.catalog.of_project(pending.project)
        crawling = await urls.advance(pending, UrlStatus.CRAWLING, datetime.now(UTC))
        assert collection is not None
        assert crawling is not None
        vectors = await model.embed(MODEL.name, PAGE)
        await replace_chunks(services.engine, collection, pending.id, NewChunks(PAGE, vectors))
        encoding = await urls.advance(crawling, UrlStatus.ENCODING, datetime.now(UTC))
        assert encoding is not None
        assert await urls.advance(encoding, UrlStatus.STORED, datetime.now(UTC)) is not None

    await _replay("webcontent", client, on_url=store)


async def _replay(
    family: str,
    client: httpx.AsyncClient,
    on_url: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
) -> None:
    reader = Reader(VOLATILE_IN[family])
    found = examples(FAMILY_PAGES / f"{family}.md")
    assert len(found) >= 5
    for example in found:
        call = example.call
        assert call.url.startswith(f"{SERVER}/")
        response = await client.request(
            call.method,
            reader.with_own_ids(call.url),
            headers={name: reader.with_own_ids(value) for name, value in call.headers.items()},
            content=None if call.body is None else reader.with_own_ids(call.body),
        )
        assert response.status_code == example.status, f"{call.method} {call.url}: {response.text}"
        got = None if response.status_code == 204 else response.json()
        reader.compare(example.answer, got, f"{call.method} {call.url}")
        if on_url is not None and call.url.endswith("/urls") and response.status_code == 202:
            await on_url(response.json())


async def test_every_call_in_the_readme_works(client: httpx.AsyncClient) -> None:
    found = calls(ROOT / "README.md")
    assert found
    for call in found:
        response = await client.request(call.method, call.url, headers=call.headers, content=call.body)
        assert response.is_success, f"{call.method} {call.url}: {response.text}"


def test_the_examples_of_webcontents_openapi_document_are_those_of_its_page() -> None:
    """No script asks a server for them, as for those of the other families."""
    paths = [str(route.path) for route in WEBCONTENT.router.routes]  # type: ignore[attr-defined]
    page = (FAMILY_PAGES / "webcontent.md").read_text()
    told = [(example, example.status, example.answer) for example in pages.examples(page)]
    assert WEBCONTENT.examples.read_text() == f"{pages.layout(openapi_examples(paths, told))}\n"


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_every_endpoint_has_a_heading(surface: Surface) -> None:
    headings = re.findall(
        r"^### `([A-Z]+ /\S*)`$", (FAMILY_PAGES / f"{surface.name}.md").read_text(), re.MULTILINE
    )
    routes = [
        f"{method} {route.path.replace(':path}', '}')}"  # type: ignore[attr-defined]
        for route in surface.router.routes
        for method in route.methods  # type: ignore[attr-defined]
    ]
    assert sorted(headings) == sorted(routes)


def test_every_error_code_of_the_vectorizer_api_is_in_its_table() -> None:
    rows = re.findall(
        r"^\| (\d{3})[^|]*\| `([A-Z_]+)`", (FAMILY_PAGES / "vectorizer.md").read_text(), re.MULTILINE
    )
    answered = {*STATUS_AND_CODE.values(), *HTTP_CODES.items()}
    answered |= {(status, code) for code in FAILED_OPERATION.values() for status in (500, 503)}
    assert {(int(status), code) for status, code in rows} == answered


def test_every_error_code_of_the_kiss_vdb_api_is_in_its_table() -> None:
    rows = re.findall(
        r"^\| (\d{3})[^|]*\| `([a-z_]+)`", (FAMILY_PAGES / "kiss-vdb.md").read_text(), re.MULTILINE
    )
    answered = {*kissvdb.STATUS_AND_CODE.values(), *kissvdb.HTTP_CODES.items()}
    assert {(int(status), code) for status, code in rows} == answered
