"""The whole HTTP side in this process: the real app, catalog and services over one engine.

``engine`` is the only fixture that knows which engine; the tests see `Engine` alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict
from unittest.mock import patch

import httpx
import numpy as np
import pytest
from starlette.types import ASGIApp, Message
from structlog.testing import capture_logs

from cluster.engine import Engine
from cluster.event_publisher import EventPublisher, Publishing
from cluster.local_engine import LocalEngine
from serve.app import build_app
from serve.credentials.passwords import Passwords
from serve.credentials.tokens import Tokens
from serve.machine import Machine
from serve.service.limits import CollectionDefaults, Limits
from serve.services import Services
from serve.settings import ServeSettings
from storage.blobs import Blobs
from storage.catalog import Catalog
from storage.events import EventLog, EventSettings
from tests.contract.vectory_client import User, sign_in
from vectoray.core.ingestion import Chunking
from vectoray.core.model import FloatMatrix
from vectoray.embedding import ModelInfo

MODEL = ModelInfo(name="letters-3", provider="tests", dimension=3, max_tokens=8)
MAX_BODY_BYTES = 100_000
MAX_UPLOAD_BYTES = 1_000_000
MAX_BATCH_POINTS = 20


class LetterEmbedder:
    """Counts a, b and c."""

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        assert model == MODEL.name
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged. Nothing is printed."""
    with capture_logs() as captured:
        yield captured


class Credentials(TypedDict):
    """What services check passwords and tokens with."""

    passwords: Passwords
    tokens: Tokens


def quick_credentials() -> Credentials:
    """Passwords that cost little to hash, and tokens under a key that no server has."""
    passwords = Passwords(threads=2, queue_length=32, memory_kib=64)
    return {"passwords": passwords, "tokens": Tokens(b"k" * 32, access_s=900, refresh_s=86_400)}


@pytest.fixture
def publisher(events_url: str) -> Iterator[EventPublisher]:
    begun = Publishing(events_url, EventSettings(publish_interval_ms=1)).begin()
    yield begun
    begun.close()


@pytest.fixture
def engine(tmp_path: Path, publisher: EventPublisher) -> Engine:
    return LocalEngine(tmp_path / "data", publisher=publisher)


@pytest.fixture
def settings() -> ServeSettings:
    return ServeSettings(
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_batch_points=MAX_BATCH_POINTS,
        max_dimension=64,
    )


@pytest.fixture
def open_services(
    tmp_path: Path, database_url: str, events_url: str, engine: Engine, settings: ServeSettings
) -> Callable[[], Awaitable[Services]]:
    async def open_them() -> Services:
        return await Services.open(
            catalog=await Catalog.open(database_url),
            engine=engine,
            embedder=LetterEmbedder(),
            models=[MODEL],
            defaults=CollectionDefaults(shards=2, embedding_model=MODEL),
            limits=Limits(
                settings.max_dimension,
                settings.max_batch_points,
                settings.max_payload_bytes,
                settings.max_upload_bytes,
                settings.max_streams_per_user,
            ),
            blobs=Blobs.open(tmp_path / "uploads"),
            chunking=Chunking(size_chars=512, overlap_chars=50),
            machine=Machine(tmp_path),
            **quick_credentials(),
            event_log=EventLog.open(events_url),
        )

    return open_them


async def close_beside(services: Services) -> None:
    """Close services whose engine another server of the test goes on with."""
    with patch.object(services.engine, "close"):
        await services.close()


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ``app``; the server ends with it. It was never told to start, and opens at first use."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        yield client
    assert await lifespan(app, "lifespan.shutdown") == ["lifespan.shutdown.complete"]


async def lifespan(app: ASGIApp, *events: str) -> list[str]:
    """What ``app`` answers to these events of its server's life; the last must be the shutdown."""
    coming, answers = iter(events), []

    async def receive() -> Message:
        return {"type": next(coming)}

    async def send(message: Message) -> None:
        answers.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return answers


@pytest.fixture
async def client(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(settings, open_services=open_services, anonymous_allowed=True)
    async with running(app) as opened:
        yield opened


@pytest.fixture
async def strict_client(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that answers no anonymous caller."""
    app = build_app(settings, open_services=open_services, anonymous_allowed=False)
    async with running(app) as opened:
        yield opened


@pytest.fixture
async def user(client: httpx.AsyncClient) -> User:
    """Somebody who is signed in."""
    return await sign_in(client, "ann@example.com")
