"""Which handlers are called directly, and that the others are called by FastAPI with the same result."""

import threading
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Header, Query, Request
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope, Send

from cluster.local_engine import LocalEngine
from serve import direct
from serve.app import SURFACES, build_app
from serve.body import decode_body
from serve.deps import Caller
from serve.direct import DirectHandler, direct_handler
from serve.machine import Machine
from serve.service.limits import CollectionDefaults, Limits
from serve.services import Services
from serve.settings import ServeSettings
from serve.surfaces.vectorizer.surface import VECTORIZER
from serve.surfaces.vectory.wire import Query as Question
from serve.wire_types import WireModel
from storage.blobs import Blobs
from storage.catalog import Catalog
from storage.events import EventLog
from tests.contract.conftest import LetterEmbedder, quick_credentials, running
from vectoray.core.errors import InvalidRequest
from vectoray.core.ingestion import Chunking

router = APIRouter()


@router.post("/direct/{name}")
async def simple(name: str, body: Question, caller: Caller) -> dict[str, str]:
    return {"name": name, "text": body.text or "", "user": caller.user}


@router.get("/pages")
async def pages(limit: Annotated[int, Query(ge=1)] = 5) -> int:
    return limit


@router.get("/request")
async def with_request(request: Request) -> None: ...


@router.get("/header")
async def with_header(accept: Annotated[str, Header()]) -> None: ...


@router.post("/optional")
async def with_optional_body(body: Question | None = None) -> None: ...


ROUTES = {route.name: route for route in router.routes if isinstance(route, APIRoute)}


# One reads a file while it arrives, the other has a body that may be left out; neither is called often.
THROUGH_FASTAPI = {"upload_file", "reingest_job", "stream", "events"}


def test_every_handler_of_every_family_is_called_directly_but_for_few() -> None:
    others = set()
    for surface in SURFACES:
        for route in surface.router.routes:
            assert isinstance(route, APIRoute)
            if direct_handler(route) is None:
                others.add(route.name)
    assert others == THROUGH_FASTAPI


@pytest.mark.parametrize("name", ["with_request", "with_header", "with_optional_body"])
def test_what_only_fastapi_can_give_is_left_to_it(name: str) -> None:
    assert direct_handler(ROUTES[name]) is None


def test_strings_in_a_path_need_no_validation() -> None:
    handler, other = direct_handler(ROUTES["simple"]), direct_handler(ROUTES["pages"])
    assert isinstance(handler, DirectHandler)
    assert isinstance(other, DirectHandler)
    assert handler.parameters is None
    assert other.parameters is not None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/collections?limit=2", None, 200),
        ("/api/collections?limit=0", None, 400),
        ("/api/collections?skip=x&limit=0", None, 400),
        ("/api/nothing", None, 404),
        ("/api/collections/a/query", b"", 400),
        ("/api/collections/a/query", b"null", 400),
        ("/api/collections/a/query", b"[]", 400),
        ("/api/collections/a/query", b'{"top_k": 0}', 400),
        ("/api/collections/a/query", b'{"text": "a"}', 404),
        ("/api/v1/projects", None, 401),
        ("/api/v1/projects/p/urls:batch", b'{"urls": []}', 401),
        ("/api/v1/projects/p/urls:batch", None, 405),
        ("/api/v1/projects/p/urls/u:reprocess", b"", 401),
        ("/api/v1/projects/p/urls/u:reprocess?share_token=t", b"", 401),
        ("/api/v1/projects/p/urls/u?share_token=t", None, 404),
        ("/api/v1/projects/p/urls?share_token=t&status=x", None, 400),
        ("/api/v1/projects/p/urls?status=stored", None, 401),
        ("/api/v1/projects:query?share_token=t", b'{"query": "a"}', 200),
        ("/api/v1/projects:query", b'{"query": "a"}', 401),
        ("/api/v1/projects:other", b"{}", 404),
    ],
)
async def test_both_ways_answer_alike(
    path: str, body: bytes | None, status: int, tmp_path: Any, database_url: str
) -> None:
    """A mount point above the paths, which only FastAPI knows to leave out, shows FastAPI's way."""

    async def open_services() -> Services:
        return await Services.open(
            catalog=await Catalog.open(database_url),
            engine=LocalEngine(tmp_path / "data"),
            embedder=LetterEmbedder(),
            models=[],
            defaults=CollectionDefaults(),
            limits=Limits(),
            blobs=Blobs.open(tmp_path / "uploads"),
            chunking=Chunking(size_chars=512, overlap_chars=50),
            machine=Machine(tmp_path),
            **quick_credentials(),
            event_log=EventLog.open(f"sqlite:///{tmp_path / 'events.db'}"),
        )

    app = build_app(ServeSettings(), open_services=open_services, anonymous_allowed=True)

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/mounted"}, receive, send)

    method = "GET" if body is None else "POST"
    async with running(app) as client:
        direct = await client.request(method, path, content=body)
        transport = httpx.ASGITransport(app=mounted)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as other:
            fastapi = await other.request(method, path, content=body)
    assert (direct.status_code, direct.json()) == (status, fastapi.json())
    assert fastapi.status_code == status


def test_a_body_of_another_type_is_refused_with_the_types_that_pass() -> None:
    with pytest.raises(InvalidRequest, match=r"must be JSON.*application/msgpack") as caught:
        decode_body(b"{}", "text/plain", Question)
    assert "arrow" not in caught.value.message


@pytest.mark.parametrize(("size_bytes", "elsewhere"), [(100, False), (300_000, True)])
async def test_a_large_body_is_decoded_where_it_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
    size_bytes: int,
    elsewhere: bool,  # noqa: FBT001
) -> None:
    threads: list[bool] = []

    def observed(body: bytes, content_type: str | None, model: type[WireModel]) -> object:
        threads.append(threading.current_thread() is not threading.main_thread())
        return decode_body(body, content_type, model)

    monkeypatch.setattr(direct, "decode_body", observed)
    body = b'{"vector":[1],"pad":"%s"}' % (b"x" * size_bytes)
    [handler] = [
        found
        for route in VECTORIZER.router.routes
        if isinstance(route, APIRoute) and route.name == "search" and (found := direct_handler(route))
    ]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    with pytest.raises(KeyError):
        # Nobody has been told who calls, so it ends after the body.
        await handler.respond(
            {"type": "http", "state": {"headers": {}}, "query_string": b""}, receive, {"collection_name": "c"}
        )
    assert threads == [elsewhere]
