"""Searches a collection: by a vector, a text that the collection's model turns into one, or by words too."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.engine import Engine
from cluster.metrics import EMBED, PLAN
from serve.auth import Principal
from serve.query_counts import QueryCounts
from serve.service.limits import check_query_text
from serve.service.ownership import Address, find_collection
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import InvalidRequest
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Fusion, HybridQuery, Weighted
from vectoray.core.model import Collection, FloatMatrix, FloatVector, Metric, SearchQuery, SearchResult
from vectoray.core.vectors import check_vector
from vectoray.embedding import ModelInfo

_WEIGHTED = Weighted()


class TextEmbedder(Protocol):
    """Turns texts into vectors, wherever the models live."""

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``: float32, shape (len(texts), dimension of ``model``)."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A question, with either ``vector`` or ``text``.

    Attributes:
        vector: float32, shape (d,), not checked yet.
        top_k: How many hits at most; the API family has checked its bounds.
        metric: What the caller believes the collection's metric to be, if they said.
    """

    vector: FloatVector | None = None
    text: str | None = None
    top_k: int = 10
    filter: Filter | None = None
    score_threshold: float | None = None
    include_vectors: bool = False
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class HybridRequest:
    """A question with ``vector``, ``text`` or both.

    Attributes:
        vector: float32, shape (d,), not checked yet; None to use the text's.
        text: The words to look for.
        top_k: How many hits at most; the API family has checked its bounds.
        fusion: How the scores by vector and by words become one.
    """

    vector: FloatVector | None = None
    text: str | None = None
    top_k: int = 10
    filter: Filter | None = None
    include_vectors: bool = False
    fusion: Fusion = _WEIGHTED


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Hits, best first.

    Attributes:
        elapsed_ms: From the request's arrival here to the answer.
    """

    collection: Collection
    hits: SearchResult
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class SearchService:
    """Questions to one collection at a time. Those that are answered are counted."""

    catalog: Catalog
    engine: Engine
    embedder: TextEmbedder
    models: Sequence[ModelInfo]
    counts: QueryCounts

    async def search(self, caller: Principal, address: Address, request: SearchRequest) -> SearchAnswer:
        """Answer ``request``.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            DimensionMismatch, InvalidRequest: The question cannot be asked of this collection.
        """
        started = time.perf_counter()
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        _check_metric(collection, request.metric)
        check_query_text(request.text)
        PLAN.done(started)
        query = SearchQuery(
            vector=await self._vector(collection, request),
            top_k=request.top_k,
            filter=request.filter,
            score_threshold=request.score_threshold,
            include_vectors=request.include_vectors,
        )
        hits = await self.engine.search(collection, query)
        return self._answer(collection, hits, started)

    async def hybrid(self, caller: Principal, address: Address, request: HybridRequest) -> SearchAnswer:
        """Answer ``request``. A text without a vector is embedded too, unless vectors have weight 0.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            DimensionMismatch, InvalidRequest: The question cannot be asked of this collection.
        """
        started = time.perf_counter()
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        check_query_text(request.text)
        vector = request.vector
        if vector is None and request.text is not None and _counts_vectors(request.fusion):
            vector = await self._embed(collection, request.text)
        if vector is not None:
            vector = check_vector(
                vector, dimension=collection.dimension, metric=collection.metric, where="vector"
            )
        query = HybridQuery(
            vector=vector,
            text=request.text,
            top_k=request.top_k,
            filter=request.filter,
            include_vectors=request.include_vectors,
            fusion=request.fusion,
        )
        hits = await self.engine.hybrid(collection, query)
        return self._answer(collection, hits, started)

    def _answer(self, collection: Collection, hits: SearchResult, started: float) -> SearchAnswer:
        elapsed_ms = (time.perf_counter() - started) * 1000
        self.counts.note(collection.id, elapsed_ms)
        return SearchAnswer(collection, hits, elapsed_ms)

    async def _vector(self, collection: Collection, request: SearchRequest) -> FloatVector:
        if (request.vector is None) == (request.text is None):
            raise InvalidRequest("Send either 'vector' or 'text', and not both.")
        vector = request.vector
        if vector is None:
            vector = await self._embed(collection, request.text or "")
        return check_vector(vector, dimension=collection.dimension, metric=collection.metric, where="vector")

    async def _embed(self, collection: Collection, text: str) -> FloatVector:
        if collection.embedding_model is None:
            raise InvalidRequest(
                f"Collection '{collection.name}' has no embedding model; search it with a vector.",
                {"at": "text"},
            )
        if all(model.name != collection.embedding_model for model in self.models):
            raise InvalidRequest(
                f"Collection '{collection.name}' has vectors of the model "
                f"'{collection.embedding_model}', which this server does not have; search it with a vector.",
                {"at": "text"},
            )
        if not text.strip():
            raise InvalidRequest("'text' is empty.", {"at": "text"})
        started = time.perf_counter()
        vector: FloatVector = (await self.embedder.embed(collection.embedding_model, [text]))[0]
        EMBED.done(started)
        return vector


def _counts_vectors(fusion: Fusion) -> bool:
    return not isinstance(fusion, Weighted) or fusion.vector_weight > 0


def _check_metric(collection: Collection, expected: Metric | None) -> None:
    if expected is not None and expected is not collection.metric:
        raise InvalidRequest(
            f"Collection '{collection.name}' is compared with another metric than the one asked for; it was "
            "chosen when the collection was created.",
            {"at": "distance_metric"},
        )
