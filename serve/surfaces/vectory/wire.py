"""What the Vectory API sends and receives to search, and its errors. Pydantic models only."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from serve.json_body import Reader, read_vector
from serve.wire_types import Vector, WireModel

MetricName = Literal["cosine", "euclidean", "dot_product"]
MAX_TOP_K = 1000


class Query(WireModel):
    """A question, with either ``vector`` or ``text``."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    vector: Vector | None = None
    text: Annotated[str | None, Field(description="Embedded with the collection's model.")] = None
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K, description="Most results.")] = 10
    filters: Annotated[
        dict[str, Any] | None,
        Field(description="Only vectors whose metadata contain these values, nested objects included."),
    ] = None
    distance_metric: Annotated[
        MetricName | None, Field(description="Must be the collection's when given.")
    ] = None
    include_vectors: bool = False
    include_metadata: bool = True


class HybridSearch(WireModel):
    """A question with ``vector``, ``text`` or both."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    vector: Vector | None = None
    text: Annotated[
        str | None,
        Field(
            description="The words to look for. Without 'vector' also embedded with the collection's model."
        ),
    ] = None
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K, description="Most results.")] = 10
    vector_weight: Annotated[
        float, Field(ge=0, le=1_000_000, description="Only its proportion to the other weight matters.")
    ] = 0.7
    text_weight: Annotated[float, Field(ge=0, le=1_000_000)] = 0.3
    filters: Annotated[
        dict[str, Any] | None,
        Field(description="Only vectors whose metadata contain these values, nested objects included."),
    ] = None
    include_vectors: bool = False
    include_metadata: bool = True


class QueryResult(BaseModel):
    """A vector and how well it answers: a higher score, or a lower distance, is better."""

    id: str
    score: float
    distance: float
    metadata: Annotated[dict[str, Any] | None, Field(description="Absent unless asked for.")] = None
    text_content: str | None
    vector: Annotated[Vector | None, Field(description="Absent unless asked for.")] = None


class QueryResults(BaseModel):
    """Results, best first, ties broken by id."""

    results: list[QueryResult]
    total: int
    latency_ms: float
    collection_id: str
    distance_metric: MetricName
    query_id: str


class HybridResult(BaseModel):
    """A vector and how well it answers: a higher score is better."""

    id: str
    score: Annotated[float, Field(description="Weighted mean of both scores, each brought to 0 to 1.")]
    distance: Annotated[float | None, Field(description="By the vector; null when there was none.")]
    vector_score: Annotated[
        float | None, Field(description="What a query would score; null when there was no vector.")
    ]
    text_score: Annotated[
        float | None, Field(description="BM25; 0 without a word of the text, null when there was none.")
    ]
    metadata: Annotated[dict[str, Any] | None, Field(description="Absent unless asked for.")] = None
    text_content: str | None
    vector: Annotated[Vector | None, Field(description="Absent unless asked for.")] = None


class HybridResults(BaseModel):
    """Results, best first, ties broken by id."""

    results: list[HybridResult]
    total: int
    latency_ms: float
    collection_id: str
    distance_metric: MetricName
    query_id: str


class ErrorBody(BaseModel):
    """Every error under this family's paths."""

    detail: Annotated[str, Field(description="What was wrong, for people.")]
