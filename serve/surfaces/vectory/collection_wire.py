"""What the Vectory API sends and receives about collections. Pydantic models only."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.surfaces.vectory.wire import MetricName
from serve.wire_types import WireModel

IndexType = Literal["hnsw", "ivfflat", "flat"]


class CollectionConfig(WireModel):
    """What the owner keeps with a collection. These keys shape its graph; any others are kept as they are."""

    model_config = ConfigDict(extra="allow")

    m: Annotated[int, Field(ge=2, le=128, description="Links per node and layer.")] = 16
    ef_construction: Annotated[int, Field(ge=4, le=4096, description="Candidates kept while linking.")] = 128
    ef_search: Annotated[int, Field(ge=1, le=4096, description="Candidates kept while searching.")] = 64


class CreateCollection(WireModel):
    """A collection to create."""

    name: Annotated[str, Field(description="1 to 255 letters, digits, '.', '_' or '-'.")]
    description: Annotated[str | None, Field(description="At most 4,000 characters.")] = None
    embedding_model: Annotated[
        str | None,
        Field(
            description="What the vectors come from. A model of this server must be of the dimension; with "
            "any other, texts cannot search the collection. Left out: the server's, where the dimension fits."
        ),
    ] = None
    dimension: Annotated[int, Field(ge=1, description="Length of every vector.")]
    distance_metric: MetricName = "cosine"
    index_type: Annotated[
        IndexType, Field(description="flat compares with every vector; the others are the same graph.")
    ] = "hnsw"
    config: CollectionConfig | None = None


class UpdateCollection(WireModel):
    """What to change of a collection. What is left out, or null, stays."""

    name: str | None = None
    description: str | None = None


class CollectionInfo(BaseModel):
    """A collection. Times are UTC."""

    id: str
    name: str
    description: str
    embedding_model: str | None
    dimension: int
    distance_metric: MetricName
    index_type: IndexType
    vector_count: Annotated[
        int | None, Field(description="null in a list while a shard of the collection does not answer.")
    ]
    index_size_bytes: Annotated[
        int | None,
        Field(
            description="Files of the indexes and of the vectors in them; the latest are in none yet. "
            "null like 'vector_count'."
        ),
    ]
    config: Annotated[dict[str, Any] | None, Field(description="As it was sent.")]
    created_by: str
    created_at: datetime
    updated_at: datetime


class CollectionPage(BaseModel):
    """Some collections, and how many there are."""

    items: list[CollectionInfo]
    total: int


class CollectionStats(BaseModel):
    """How full a collection is, and what was asked of it."""

    collection_id: str
    vector_count: int
    index_size_bytes: int
    dimension: int
    distance_metric: MetricName
    index_type: IndexType
    total_queries: int
    avg_query_latency_ms: Annotated[float, Field(description="0 when there was no query.")]
    avg_latency_ms: Annotated[float, Field(description="The same.")]
    created_at: datetime
