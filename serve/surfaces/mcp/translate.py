"""Between the tools' wire models and core values. Pure functions."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from pipelines.url_chunks import index_of
from serve.service.collections import CollectionView
from serve.service.ownership import Address, ById, ByName
from serve.service.passages import Passage, source_of
from serve.service.project_chunks import ChunkHit, UrlPassage
from serve.service.search import SearchAnswer, SearchRequest
from serve.surfaces.mcp import wire
from vectoray.core.filters import And, Eq
from vectoray.core.model import Hit, Metric, Point
from vectoray.core.projects import Project

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_METRIC_NAMES: dict[Metric, wire.MetricName] = {
    Metric.COSINE: "cosine",
    Metric.EUCLIDEAN: "euclidean",
    Metric.DOT: "dot_product",
}


def address(told: str) -> Address:
    """What a caller means by ``told``: who writes a UUID means an id."""
    return ById(told) if _UUID.fullmatch(told) else ByName(told)


def search_request(arguments: wire.Search) -> SearchRequest:
    """A question by text."""
    conditions = tuple(Eq((key,), value) for key, value in (arguments.filters or {}).items())
    return SearchRequest(
        text=arguments.text, top_k=arguments.top_k, filter=And(conditions) if conditions else None
    )


def collection_list(views: list[CollectionView], total: int) -> wire.CollectionList:
    """Some collections."""
    return wire.CollectionList(collections=[_collection(view) for view in views], total=total)


def search_results(answer: SearchAnswer) -> wire.SearchResults:
    """What a search found."""
    return wire.SearchResults(
        collection=answer.collection.name,
        collection_id=answer.collection.id,
        results=[_found(hit) for hit in answer.hits],
    )


def read_result(passage: Passage) -> wire.ReadResult:
    """A chunk and its neighbours."""
    return wire.ReadResult(
        chunk=_chunk(passage.point),
        before=[_chunk(point) for point in passage.before],
        after=[_chunk(point) for point in passage.after],
    )


def project_list(projects: Sequence[Project], total: int, *, reader: str) -> wire.ProjectList:
    """Some projects, as the user ``reader`` sees them."""
    return wire.ProjectList(projects=[_project(one, reader) for one in projects], total=total)


def project_search_results(hits: Sequence[ChunkHit]) -> wire.ProjectSearchResults:
    """What a search over projects found."""
    return wire.ProjectSearchResults(results=[_found_in_project(one) for one in hits])


def project_read_result(found: UrlPassage) -> wire.ProjectReadResult:
    """A chunk of a page and its neighbours."""
    return wire.ProjectReadResult(
        project_id=found.url.project,
        url=found.url.original_url,
        chunk=_project_chunk(found.passage.point),
        before=[_project_chunk(point) for point in found.passage.before],
        after=[_project_chunk(point) for point in found.passage.after],
    )


def _collection(view: CollectionView) -> wire.CollectionSummary:
    collection = view.collection
    return wire.CollectionSummary(
        id=collection.id,
        name=collection.name,
        description=collection.description,
        vectors=view.points,
        dimension=collection.dimension,
        metric=_METRIC_NAMES[collection.metric],
        searchable_by_text=collection.embedding_model is not None,
        updated_at=view.updated_at,
    )


def _found(hit: Hit) -> wire.FoundChunk:
    payload = orjson.loads(hit.payload)
    return wire.FoundChunk(
        id=hit.id,
        score=float(hit.score),
        text=hit.text,
        source=source_of(payload),
        metadata=_metadata(payload, hit.text),
    )


def _chunk(point: Point) -> wire.Chunk:
    payload = orjson.loads(point.payload)
    index = payload.get("chunk_index")
    return wire.Chunk(
        id=point.id,
        text=point.text,
        source=source_of(payload) or point.source,
        chunk_index=index if type(index) is int else point.chunk_index,
        metadata=_metadata(payload, point.text),
    )


def _project(project: Project, reader: str) -> wire.ProjectSummary:
    return wire.ProjectSummary(
        project_id=project.id,
        project_name=project.name,
        shared=project.user != reader,
        created_at=project.created_at,
    )


def _found_in_project(found: ChunkHit) -> wire.FoundProjectChunk:
    return wire.FoundProjectChunk(
        content=found.hit.text or "",
        url=found.url.original_url,
        chunk_id=found.hit.id,
        project_id=found.url.project,
        score=float(found.hit.score),
    )


def _project_chunk(point: Point) -> wire.ProjectChunk:
    return wire.ProjectChunk(chunk_id=point.id, content=point.text or "", chunk_index=index_of(point))


def _metadata(payload: dict[str, Any], text: str | None) -> dict[str, Any]:
    """``payload`` without the key that holds the text: a model pays for every word that it reads twice."""
    return {key: value for key, value in payload.items() if text is None or value != text}
