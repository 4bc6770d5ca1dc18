"""The examples in the documentation do what the page says: each is sent to the real application."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

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
from scripts.transcripts.answers import MEASURED, Answers
from scripts.transcripts.replay import replay
from serve.app import SURFACES, build_app
from serve.machine import Machine
from serve.service.limits import CollectionDefaults, Limits
from serve.services import Services
from serve.settings import ServeSettings
from serve.surface import Surface
from serve.surfaces.kissvdb import errors as kissvdb
from serve.surfaces.vectorizer.errors import FAILED_OPERATION, HTTP_CODES, STATUS_AND_CODE
from storage.blobs import Blobs
from storage.catalog import Catalog, ProjectUrls
from storage.events import EventLog
from tests.contract.conftest import quick_credentials, running
from tests.unit.docs.markdown import ROOT, calls, examples
from tests.url_states import bring_url
from vectoray.core.ingestion import Chunking
from vectoray.core.model import FloatMatrix
from vectoray.core.projects import UrlStatus
from vectoray.embedding import ModelRegistry

FAMILY_PAGES = ROOT / "docs" / "api"
PAGE = (
    "A vector database finds what is similar in meaning.",
    "It keeps vectors in a graph, and walks from neighbour to neighbour.",
)
"""What is at the URL in docs/api/webcontent.md."""

MODEL = ModelRegistry().describe("all-MiniLM-L6-v2")

# What depends on the model, which is a quick one here: only the type of these is compared.
SCORES = frozenset({"score", "distance", "vector_score", "text_score", "similarity_score"})
OF_THE_MODEL = {
    "vectory": SCORES,
    "vectorizer": frozenset[str](),
    "kiss-vdb": frozenset[str](),
    "webcontent": SCORES,
}


class QuickModel:
    """Stands in for the model that the pages are about, which takes seconds to load."""

    def __init__(self, cache_dir: Path) -> None:
        self._model = ModelRegistry().load("hashing-384", cache_dir=cache_dir)

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
            models=ModelRegistry().models,
            defaults=CollectionDefaults(shards=2, embedding_model=MODEL),
            limits=Limits(),
            blobs=Blobs.open(tmp_path / "uploads"),
            chunking=Chunking(size_chars=512, overlap_chars=50),
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
    stored = chunks_of(
        "file:///notes/durability.md", "durability.md", document.title, chunk(document, Chunking())
    )
    vectors = await model.embed(MODEL.name, [piece.embedded for piece in stored])
    body = {"name": "notes", "dimension": MODEL.dimension, "metric": "cosine"}
    await client.post("/api/v1/collections", json=body)
    rows = [
        {"id": piece.id, "vector": vector, "payload": orjson.loads(piece.payload)}
        for piece, vector in zip(stored, vectors.tolist(), strict=True)
    ]
    await client.post("/api/v1/collections/notes/vectors", json={"vectors": rows})


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
    async def store(response: httpx.Response) -> None:
        """Do with the URL that was submitted what the pipeline does."""
        if response.status_code != httpx.codes.ACCEPTED or not response.request.url.path.endswith("/urls"):
            return
        [services] = opened
        url = response.json()
        urls = ProjectUrls(services.catalog.database)
        pending = (await urls.find([url["url_id"]]))[url["url_id"]]
        collection = await services.catalog.of_project(pending.project)
        assert collection is not None
        vectors = await model.embed(MODEL.name, PAGE)
        await replace_chunks(services.engine, collection, pending.id, NewChunks(PAGE, vectors))
        await bring_url(services.catalog.database, pending.id, UrlStatus.STORED)

    await _replay("webcontent", client, on_answer=store)


async def _replay(
    family: str,
    client: httpx.AsyncClient,
    on_answer: Callable[[httpx.Response], Awaitable[None]] | None = None,
) -> None:
    shown = examples(FAMILY_PAGES / f"{family}.md")
    assert len(shown) >= 5
    answers = Answers(measured=MEASURED | OF_THE_MODEL[family])
    told = await replay(shown, client, answers, on_answer=on_answer)
    for example, status, answer in told:
        call = f"{example.call.method} {example.call.url}"
        assert status == example.status, f"{call}: {answer}"
        # As text, in which the order of keys and the kind of a number are seen too.
        assert pages.layout(answer) == pages.layout(example.answer), call


async def test_every_call_in_the_readme_works(client: httpx.AsyncClient) -> None:
    found = calls(ROOT / "README.md")
    assert found
    for call in found:
        response = await client.request(call.method, call.url, headers=call.headers, content=call.body)
        assert response.is_success, f"{call.method} {call.url}: {response.text}"


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
