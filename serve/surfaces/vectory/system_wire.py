"""What the Vectory API sends about the server. Pydantic models only."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from serve.surfaces.vectory.collection_wire import IndexType
from serve.surfaces.vectory.wire import MetricName


class HealthInfo(BaseModel):
    """What the server depends on, and how it is."""

    status: Annotated[
        Literal["healthy", "degraded"],
        Field(
            description="degraded: the database, or a shard of some collection, does not answer, or no "
            "ingestor runs."
        ),
    ]
    version: str
    database: Literal["connected", "disconnected"]
    redis: Annotated[Literal["not_configured"], Field(description="This server needs no Redis.")]


class MetricsInfo(BaseModel):
    """All that the caller may see, taken together."""

    total_collections: int
    total_vectors: Annotated[int, Field(description="Without collections of which a shard does not answer.")]
    total_queries: Annotated[int, Field(description="Of the collections that there are now.")]
    avg_query_latency_ms: Annotated[float, Field(description="0 when there was no query.")]
    avg_latency_ms: Annotated[float, Field(description="The same.")]


class ActivityDay(BaseModel):
    """What was asked on one day."""

    date: Annotated[dt.date, Field(description="In UTC.")]
    queries: int
    latency: Annotated[float, Field(description="Average in milliseconds; 0 when there was no query.")]


class ModelDescription(BaseModel):
    """An embedding model."""

    name: str
    provider: str
    dimensions: int


class Capabilities(BaseModel):
    """What requests may ask for."""

    search: list[Literal["vector", "text", "hybrid"]]
    distance_metrics: list[MetricName]
    index_types: list[IndexType]
    embedding_models: list[str]
    max_dimension: int
    max_batch_size: int
    max_top_k: int


class SystemInfo(BaseModel):
    """What this server is."""

    name: str
    version: str
    capabilities: Capabilities
