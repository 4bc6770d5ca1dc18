"""What the client returns, read from the JSON the server answers.

A ``from_json`` raises KeyError, TypeError or ValueError for an object of another form; `responses` turns
those into one error for the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vectoray.core.model import FloatVector, Metric

# The families spell the inner product in their own way.
_METRICS = {
    "cosine": Metric.COSINE,
    "dot": Metric.DOT,
    "dot_product": Metric.DOT,
    "dotproduct": Metric.DOT,
    "euclidean": Metric.EUCLIDEAN,
}


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """How the server is.

    Attributes:
        status: ``healthy`` when every part works.
        uptime_s: Seconds since the server started.
        collections: How many collections the caller can see.
        total_vectors: Vectors in those collections.
    """

    status: str
    version: str
    uptime_s: float
    collections: int
    total_vectors: int

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read ``GET /api/v1/health``."""
        return cls(
            status=str(json["status"]),
            version=str(json["version"]),
            uptime_s=float(json["uptime"]),
            collections=int(json["collections"]),
            total_vectors=int(json["total_vectors"]),
        )


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the server lists it.

    Attributes:
        id: UUID; paths of the Vectory family address the collection by it.
        embedding_model: The server turns query texts into vectors with it; None when only vectors work.
    """

    id: str
    name: str
    dimension: int
    metric: Metric
    embedding_model: str | None
    vector_count: int

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read one collection of ``GET /api/collections``."""
        return cls(
            id=str(json["id"]),
            name=str(json["name"]),
            dimension=int(json["dimension"]),
            metric=_METRICS[json["distance_metric"]],
            embedding_model=json["embedding_model"],
            vector_count=int(json["vector_count"]),
        )


@dataclass(frozen=True, slots=True)
class CollectionPage:
    """Part of the list of collections.

    Attributes:
        total: How many collections the whole list has.
    """

    items: Sequence[CollectionInfo]
    total: int

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read ``GET /api/collections``."""
        return cls(
            items=tuple(CollectionInfo.from_json(item) for item in json["items"]), total=int(json["total"])
        )


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model with which the server embeds texts."""

    name: str
    provider: str
    dimensions: int

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read one model of ``GET /api/models``."""
        return cls(name=str(json["name"]), provider=str(json["provider"]), dimensions=int(json["dimensions"]))


@dataclass(frozen=True, slots=True)
class StoredVector:
    """One vector with its payload.

    Attributes:
        vector: float32, shape (dimension,).
        payload: The JSON object stored with it.
    """

    id: str
    vector: FloatVector
    payload: Mapping[str, Any]

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read ``GET /api/v1/collections/{name}/vectors/{id}``."""
        return cls(
            id=str(json["id"]),
            vector=np.asarray(json["vector"], dtype=np.float32),
            payload=dict(json["payload"] or {}),
        )


@dataclass(frozen=True, slots=True)
class QueryHit:
    """One answer to a query.

    Attributes:
        score: Higher is better.
        distance: Lower is better.
        payload: The JSON object stored with the vector.
        text: The text that was embedded or indexed, when there is one.
    """

    id: str
    score: float
    distance: float
    payload: Mapping[str, Any]
    text: str | None

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read one result of ``POST /api/collections/{id}/query``."""
        return cls(
            id=str(json["id"]),
            score=float(json["score"]),
            distance=float(json["distance"]),
            payload=dict(json["metadata"] or {}),
            text=json["text_content"],
        )


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The hits of a query, best first.

    Attributes:
        latency_ms: Time the server took, in milliseconds.
        query_id: Names this query in the server's logs.
    """

    hits: Sequence[QueryHit]
    latency_ms: float
    query_id: str

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read ``POST /api/collections/{id}/query``."""
        return cls(
            hits=tuple(QueryHit.from_json(item) for item in json["results"]),
            latency_ms=float(json["latency_ms"]),
            query_id=str(json["query_id"]),
        )
