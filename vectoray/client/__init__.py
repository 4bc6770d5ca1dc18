"""The REST client: `Client` and the values it returns. Needs no Ray and no server package."""

from vectoray.client.client import Client
from vectoray.client.ingestion_values import (
    ExplainedDocument,
    ExplainedShard,
    ExplainedStep,
    JobInfo,
    JobPage,
)
from vectoray.client.values import (
    CollectionInfo,
    EmbeddingModel,
    QueryAnswer,
    QueryHit,
    ServerHealth,
    StoredVector,
)

__all__ = [
    "Client",
    "CollectionInfo",
    "EmbeddingModel",
    "ExplainedDocument",
    "ExplainedShard",
    "ExplainedStep",
    "JobInfo",
    "JobPage",
    "QueryAnswer",
    "QueryHit",
    "ServerHealth",
    "StoredVector",
]
