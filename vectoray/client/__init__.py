"""The REST client: `Client` and the values it returns. Needs no Ray and no server package."""

from vectoray.client.client import Client
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
    "QueryAnswer",
    "QueryHit",
    "ServerHealth",
    "StoredVector",
]
