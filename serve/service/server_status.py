"""What the server embeds with, how much waits for it, and how busy it is."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import structlog

from serve.auth import Principal
from serve.machine import Load, Machine
from serve.service.ingestors import Ingestors
from serve.service.rights import require
from serve.service.search import TextEmbedder
from storage.catalog import ProjectUrls
from vectoray.core.accounts import Scope
from vectoray.core.errors import Unavailable, VectorayError
from vectoray.core.ingestion import Chunking
from vectoray.core.projects import UrlStatus
from vectoray.embedding import ModelInfo

_log = structlog.get_logger(__name__)

_WAITING = (UrlStatus.PENDING, UrlStatus.CRAWLING, UrlStatus.ENCODING)
_PROBE_TIMEOUT_S = 5.0
_PROBED_S = 10.0


@dataclass(frozen=True, slots=True)
class Embedding:
    """A model, and how texts are cut for it."""

    model: ModelInfo
    chunking: Chunking


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """How things are.

    Attributes:
        waiting: URLs of all projects that are not finished, by status.
        embeds: Whether the model turned a text into a vector, a few seconds ago at most.
        ingests: Whether somebody is there to fetch URLs, if there should be.
    """

    waiting: Mapping[UrlStatus, int]
    load: Load
    embeds: bool
    ingests: bool


class ModelProbe:
    """Asks the model for a vector, at most once in ten seconds however many want to know."""

    def __init__(self, embedder: TextEmbedder, model: str) -> None:
        self._embedder = embedder
        self._model = model
        self._turn = asyncio.Lock()
        self._answer: tuple[float, bool] | None = None

    async def embeds(self) -> bool:
        """Whether it answers within five seconds."""
        async with self._turn:
            if self._answer is None or time.monotonic() - self._answer[0] >= _PROBED_S:
                works = await self._try()
                self._answer = (time.monotonic(), works)
            return self._answer[1]

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                # A text that nobody has asked for before: an answer from memory would prove nothing.
                await self._embedder.embed(self._model, [f"status {uuid4()}"])
        except (VectorayError, TimeoutError) as error:
            _log.warning("embedding_model_does_not_answer", model=self._model, reason=str(error))
            return False
        return True


@dataclass(frozen=True, slots=True)
class ServerStatusService:
    """Facts about the whole server, for whoever may read anything.

    Attributes:
        embedding: The default; None where the server has no model.
    """

    urls: ProjectUrls
    machine: Machine
    embedding: Embedding | None
    probe: ModelProbe | None = field(repr=False)
    ingestors: Ingestors

    async def model(self, caller: Principal) -> Embedding:
        """What texts are embedded with, and how they are cut.

        Raises:
            Unavailable: The server has no model.
        """
        require(caller, Scope.READ)
        if self.embedding is None:
            raise Unavailable("The server has no embedding model.")
        return self.embedding

    async def status(self, caller: Principal) -> SystemStatus:
        """How things are.

        Raises:
            Unavailable: The catalog does not answer.
        """
        require(caller, Scope.READ)
        waiting, load, embeds, ingests = await asyncio.gather(
            self.urls.count(_WAITING),
            asyncio.to_thread(self.machine.load),
            self._embeds(),
            self.ingestors.work(),
        )
        return SystemStatus(waiting, load, embeds, ingests)

    async def _embeds(self) -> bool:
        return self.probe is not None and await self.probe.embeds()
