"""What the Vectorizer API sends and receives. Pydantic models only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from serve.json_body import Reader, read_vector
from serve.point_columns import RowsOf
from serve.service.points import NewPoints
from serve.wire_types import Vector, WireModel, one_spelling

MetricName = Literal["cosine", "euclidean", "dotproduct"]


class HnswConfig(WireModel):
    """How the graph of a collection is built and searched."""

    m: Annotated[int, Field(ge=2, le=128, description="Links per node and layer.")] = 16
    ef_construction: Annotated[int, Field(ge=4, le=4096, description="Candidates kept while linking.")] = 200
    ef_search: Annotated[int, Field(ge=1, le=4096, description="Candidates kept while searching.")] = 64
    seed: Annotated[int, Field(ge=0, le=2**63 - 1, description="The same seed gives the same graph.")] = 42


class CreateCollection(WireModel):
    """A collection to create. ``similarity_metric`` is accepted for ``metric``."""

    name: Annotated[str, Field(description="1 to 255 letters, digits, '.', '_' or '-'.")]
    dimension: Annotated[int, Field(ge=1, description="Length of every vector.")]
    metric: MetricName
    hnsw_config: HnswConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_spellings(cls, document: object) -> object:
        return one_spelling(document, {"similarity_metric": "metric"})


class NewVector(WireModel):
    """A vector to insert. ``data`` is accepted for ``vector``, ``metadata`` for ``payload``."""

    id: Annotated[str, Field(description="1 to 512 bytes. An existing vector of this id is replaced.")]
    vector: Vector
    payload: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_spellings(cls, document: object) -> object:
        return one_spelling(document, {"data": "vector", "metadata": "payload"})


ROWS = RowsOf(NewVector, vector=("vector", "data"), payload=("payload", "metadata"), text=("content", "text"))


class InsertVectors(WireModel):
    """Vectors to insert: all of them, or none if one is bad."""

    readers: ClassVar[Mapping[str, Reader]] = {"vectors": ROWS}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector", "data"))
    arrow_rows: ClassVar[str | None] = "vectors"

    vectors: Annotated[NewPoints, ROWS]


class Search(WireModel):
    """A question. ``data`` is accepted for ``vector``."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector, "data": read_vector}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector", "data"))

    vector: Vector
    limit: Annotated[int, Field(ge=1, le=100, description="Most results.")] = 10
    score_threshold: Annotated[
        float | None, Field(allow_inf_nan=False, description="Only results with at least this score.")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _accept_spellings(cls, document: object) -> object:
        return one_spelling(document, {"data": "vector"})


class HealthInfo(BaseModel):
    """How the server is, and what the caller has."""

    status: Annotated[
        Literal["healthy", "degraded"],
        Field(description="degraded: a shard of some collection does not answer; the others work."),
    ]
    version: str
    uptime: Annotated[int, Field(description="Seconds since the start.")]
    collections: int
    total_vectors: int


class CollectionInfo(BaseModel):
    """A collection. Times are UTC."""

    name: str
    dimension: int
    metric: MetricName
    vector_count: Annotated[
        int | None, Field(description="null in a list while a shard of the collection does not answer.")
    ]
    created_at: datetime
    updated_at: datetime


class CollectionChanged(BaseModel):
    """What was done to a collection."""

    message: str
    collection: str


class VectorsInserted(BaseModel):
    """How many vectors were sent and written."""

    message: str
    inserted: int


class StoredVector(BaseModel):
    """A vector as it is stored."""

    id: str
    vector: Vector
    payload: dict[str, Any]


class VectorDeleted(BaseModel):
    """What was deleted."""

    message: str
    collection: str
    vector_id: str


class SearchResult(StoredVector):
    """A vector and how well it answers: higher is better."""

    score: float


class SearchResults(BaseModel):
    """Results, best first, ties broken by id."""

    results: list[SearchResult]
    query_time_ms: float


class ErrorBody(BaseModel):
    """Every error under this family's paths."""

    error: Annotated[str, Field(description="What was wrong, for people.")]
    code: Annotated[str, Field(description="What was wrong, for programs.")]
    details: dict[str, Any]
