"""Reads the chunks of a URL, all or some, and finds those of several projects that answer a question."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.engine import Engine
from cluster.fan_out import fan_out
from pipelines.url_chunks import index_of, read_chunks, read_neighbours, url_of
from serve.auth import Principal
from serve.service.passages import Passage
from serve.service.project_rights import canonical, find_project, find_projects
from serve.service.project_urls import find_url
from serve.service.search import TextEmbedder
from storage.catalog import Projects, ProjectUrls, StoredProject
from vectoray.core.accounts import Scope
from vectoray.core.errors import ChunkNotFound, InvalidRequest
from vectoray.core.model import Collection, FloatVector, Hit, Point, SearchQuery
from vectoray.core.projects import ProjectUrl
from vectoray.core.vectors import check_vector

# A caller with many projects must not take all that the engine can do.
_SEARCHED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class UrlChunks:
    """The chunks of a URL, by their place in it."""

    url: ProjectUrl
    chunks: Sequence[Point]


@dataclass(frozen=True, slots=True)
class UrlPassage:
    """A chunk of a URL, and its neighbours there."""

    url: ProjectUrl
    passage: Passage


@dataclass(frozen=True, slots=True)
class ChunkHit:
    """A chunk that answers a question, and where it is from."""

    url: ProjectUrl
    hit: Hit


@dataclass(frozen=True, slots=True)
class ProjectChunkService:
    """Chunks, for whoever may read their project.

    Any method may raise `ProjectNotFound`, for there is none that the caller may see, and `PermissionDenied`,
    for a key that is limited to certain collections.
    """

    projects: Projects
    urls: ProjectUrls
    engine: Engine
    embedder: TextEmbedder

    async def of_url(self, caller: Principal, project_id: str, url_id: str) -> UrlChunks:
        """All chunks of a URL; none before it was stored for the first time.

        Raises:
            UrlNotFound: The project has none with this id.
        """
        found = await find_project(self.projects, caller, project_id, Scope.READ)
        url = await find_url(self.urls, found.project.id, url_id)
        return UrlChunks(url, await read_chunks(self.engine, found.collection, url.id))

    async def read(self, caller: Principal, project_id: str, chunk_id: str, *, around: int) -> UrlPassage:
        """One chunk with its neighbours.

        Args:
            caller: Who asks.
            project_id: Which project.
            chunk_id: Which chunk of it.
            around: How many to read before it, and how many after it.

        Raises:
            ChunkNotFound: The project has none with this id.
        """
        found = await find_project(self.projects, caller, project_id, Scope.READ)
        [chunk] = await self.engine.get(found.collection, [canonical(chunk_id)])
        if chunk is None:
            raise ChunkNotFound.of(chunk_id)
        url = (await self.urls.find([url_of(chunk)])).get(url_of(chunk))
        if url is None:
            # The project was deleted meanwhile.
            raise ChunkNotFound.of(chunk_id)
        neighbours = await read_neighbours(self.engine, found.collection, chunk, around=around)
        return UrlPassage(
            url,
            Passage(
                chunk,
                before=[one for one in neighbours if index_of(one) < index_of(chunk)],
                after=[one for one in neighbours if index_of(one) > index_of(chunk)],
            ),
        )

    async def query(
        self, caller: Principal, question: str, project_ids: Sequence[str] | None, *, top_k: int
    ) -> list[ChunkHit]:
        """The chunks closest in meaning to ``question``, best first, ties broken by id.

        Args:
            caller: Who asks.
            question: What the models embed.
            project_ids: Where to look; None for every project that the caller may read.
            top_k: How many at most, over all projects; the API family has checked its bounds.

        Raises:
            InvalidRequest: The question is empty.
        """
        if not question.strip():
            raise InvalidRequest("'query' is empty.", {"at": "query"})
        found = await find_projects(self.projects, caller, project_ids, Scope.READ)
        vectors = await self._embed(question, found)
        turns = asyncio.Semaphore(_SEARCHED_AT_ONCE)

        async def search(collection: Collection) -> Sequence[Hit]:
            query = SearchQuery(vector=vectors[collection.embedding_model], top_k=top_k)
            async with turns:
                return (await self.engine.search(collection, query)).hits

        answers = await fan_out(search(one.collection) for one in found)
        hits = sorted((hit for answer in answers for hit in answer), key=lambda hit: (-hit.score, hit.id))
        urls = await self.urls.find(list({url_of(hit) for hit in hits[:top_k]}))
        # A project that was deleted meanwhile takes its URLs along.
        return [ChunkHit(urls[url_of(hit)], hit) for hit in hits[:top_k] if url_of(hit) in urls]

    async def _embed(self, question: str, found: Sequence[StoredProject]) -> dict[str | None, FloatVector]:
        """The question's vector by every model that one of the projects was made with."""
        models = {one.collection.embedding_model: one.collection for one in found}
        return {
            model: check_vector(
                (await self.embedder.embed(model, [question]))[0],
                dimension=collection.dimension,
                metric=collection.metric,
                where="query",
            )
            for model, collection in models.items()
            if model is not None
        }
